package blocks

import (
	"encoding/binary"
	"maps"
	"slices"
)

// file is the record of one file: the backup of that run has it in this state, with these addresses.
type file struct {
	generation uint64 // in which it was noted; 0: unknown
	pieces     []byte // encoded
}

// maxRecord limits the record, in bytes. For files beyond it rsync finds the changes.
const maxRecord = 8 << 20

// render is the record of files in one life of a filesystem, for parse.
func render(life string, files map[string]file) []byte {
	text := func(buf []byte, s string) []byte { return append(binary.AppendUvarint(buf, uint64(len(s))), s...) }
	buf := text(nil, life)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		f := files[path]
		if len(buf)+len(path)+len(f.pieces) > maxRecord {
			continue
		}
		buf = binary.AppendUvarint(text(buf, path), f.generation)
		buf = text(buf, string(f.pieces))
	}
	return buf
}

// parse is the reverse. In another life the addresses are not valid. Data that is not a record gives no files.
func parse(buf []byte, life string) map[string]file {
	in := numbers{buf: buf}
	same := string(in.text()) == life
	files := map[string]file{}
	for len(in.buf) > 0 {
		path := string(in.text())
		f := file{generation: in.next(), pieces: in.text()}
		if in.failed {
			return map[string]file{}
		}
		if !same {
			f = file{}
		}
		files[path] = f
	}
	return files
}
