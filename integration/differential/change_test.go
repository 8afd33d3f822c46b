//go:build integration

package differential

// A change is one thing that can happen to a tree between two backups.
type change struct {
	name    string
	weight  int
	grows   bool // not drawn when the tree is big
	shrinks bool // not drawn when it is small
	do      func(w *world, entries []entry) error
}

func changes() []change {
	return []change{
		{name: "create file", weight: 14, grows: true, do: createFile},
		{name: "create sparse file", weight: 3, grows: true, do: createSparse},
		{name: "create directory", weight: 6, grows: true, do: createDir},
		{name: "create deep path", weight: 1, grows: true, do: createDeep},
		{name: "create symlink", weight: 3, grows: true, do: createSymlink},
		{name: "create node", weight: 3, grows: true, do: createNode},
		{name: "copy file", weight: 3, grows: true, do: copyFile},
		{name: "link", weight: 8, grows: true, do: link},

		{name: "edit in place", weight: 10, do: edit},
		{name: "append", weight: 4, do: appendData},
		{name: "truncate", weight: 3, do: truncate},
		{name: "punch hole", weight: 3, do: punchHole},
		{name: "shift content", weight: 4, do: shift},
		{name: "replace content", weight: 3, do: replaceContent},
		{name: "touch", weight: 3, do: touch},

		{name: "rename", weight: 6, do: rename},
		{name: "rename directory", weight: 2, do: renameDir},
		{name: "rename over", weight: 4, shrinks: true, do: renameOver},
		{name: "swap names", weight: 5, do: swap},
		{name: "unlink", weight: 6, shrinks: true, do: unlink},
		{name: "remove directory", weight: 1, shrinks: true, do: removeDir},
		{name: "split link", weight: 5, do: splitLink},
		{name: "split all links", weight: 4, do: splitAll},
		{name: "relink", weight: 4, do: relink},
		{name: "other kind", weight: 5, do: otherKind},

		{name: "chmod", weight: 6, do: chmod},
		{name: "chown", weight: 4, do: chown},
		{name: "set ACL", weight: 4, do: setACL},
		{name: "set attribute", weight: 4, do: setAttribute},
		{name: "set capability", weight: 3, do: setCapability},
		{name: "remove attributes", weight: 3, do: removeAttributes},
		{name: "edit under attributes", weight: 4, do: editUnderAttributes},
	}
}
