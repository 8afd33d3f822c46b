// rsbtbackup completion SHELL

package main

import "context"

type completionCommand struct {
	Shell string `arg:"" name:"SHELL" enum:"bash,zsh,fish" help:"bash (4.4 or newer), zsh or fish."`
}

// Help shows how it is used.
func (completionCommand) Help() string {
	return `
With this script the Tab key completes commands, flags and their values, names of backups, and paths in a backup. Names
from DEST are offered only to users who may read it, often only to root. The script calls the rsbtbackup in PATH, so it
needs no update. It is printed regardless of --json and --quiet.

Put the script where your shell looks for it. For bash with the package bash-completion this is /etc/bash_completion.d
or a directory of your own, as below; without that package add the line with "source" to ~/.bashrc. For zsh it is a file
_rsbtbackup in any directory of $fpath.

EXAMPLE:

    mkdir -p ~/.local/share/bash-completion/completions ~/.config/fish/completions
    rsbtbackup completion bash >~/.local/share/bash-completion/completions/rsbtbackup
    source <(rsbtbackup completion bash)
    rsbtbackup completion zsh >/usr/local/share/zsh/site-functions/_rsbtbackup
    rsbtbackup completion fish >~/.config/fish/completions/rsbtbackup.fish`
}

func (c *completionCommand) run(_ context.Context, u *ui, _ *flags) error {
	u.write(u.stdout, completionScripts[c.Shell])
	return nil
}

// completionScripts contain no logic. They pass the line, up to the cursor, to the command in complete.go, which
// answers in lines. The first line says what to do, the others are candidates.
var completionScripts = map[string]string{
	"bash": `# Completion of rsbtbackup in bash.

_rsbtbackup() {
	local answer
	mapfile -t answer < <(rsbtbackup __complete bash -- "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
	COMPREPLY=("${answer[@]:1}")
	case ${answer[0]-} in
	files) compopt -o default ;;
	directories) compopt -o dirnames ;;
	unfinished) compopt -o nospace ;;
	esac
}

complete -o nosort -F _rsbtbackup rsbtbackup
`,
	"zsh": `#compdef rsbtbackup
# Completion of rsbtbackup in zsh.

local line word note
local -a answer finished unfinished shown more list
answer=("${(@f)$(rsbtbackup __complete zsh -- "${(j: :)words[1,CURRENT-1]} $IPREFIX$QIPREFIX$PREFIX" 2>/dev/null)}")
case $answer[1] in
files) compset -P '--*='; _files; return ;;
directories) compset -P '--*='; _files -/; return ;;
esac
for line in "${(@)answer[2,-1]}"; do
	word=${line%%$'\t'*} note=${line#*$'\t'}
	[[ -z $note ]] || list=(-l)
	line=${${word//\\/\\\\}//:/\\:}${note:+:$note} # as zformat wants it
	if [[ $word == (*/|--*=) ]]; then
		unfinished+=("$word") more+=("$line")
	else
		finished+=("$word") shown+=("$line")
	fi
done
zformat -a shown ' -- ' "${(@)shown}"
zformat -a more ' -- ' "${(@)more}"
compadd -V rsbtbackup $list -d shown -a finished
compadd -V rsbtbackup $list -S '' -d more -a unfinished
(( compstate[nmatches] ))
`,
	"fish": `# Completion of rsbtbackup in fish.

function __rsbtbackup_complete
    set -l answer (rsbtbackup __complete fish -- (commandline -cp | string collect) 2>/dev/null)
    switch "$answer[1]"
        case files
            complete -C "'' "(commandline -ct)
        case directories
            __fish_complete_directories (commandline -ct)
        case '*'
            string join \n -- $answer[2..]
    end
end

complete -c rsbtbackup -f -k -a '(__rsbtbackup_complete)'
`,
}
