package sendstream

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// Attribute types, BTRFS_SEND_A_*
const (
	attrUUID          = 1
	attrCTransID      = 2
	attrInode         = 3
	attrSize          = 4
	attrMode          = 5
	attrUID           = 6
	attrGID           = 7
	attrRDev          = 8
	attrCtime         = 9
	attrMtime         = 10
	attrAtime         = 11
	attrXattrName     = 13
	attrXattrData     = 14
	attrPath          = 15
	attrPathTo        = 16
	attrPathLink      = 17
	attrFileOffset    = 18
	attrData          = 19
	attrCloneUUID     = 20
	attrCloneCTransID = 21
	attrClonePath     = 22
	attrCloneOffset   = 23
	attrCloneLen      = 24
	attrFallocateMode = 25
	attrFileAttr      = 26
	attrUnencFileLen  = 27
	attrUnencLen      = 28
	attrUnencOffset   = 29
	attrCompression   = 30
	attrEncryption    = 31
	attrVerityAlgo    = 32
	attrVerityBlock   = 33
	attrVeritySalt    = 34
	attrVeritySig     = 35
	attrMax           = 35
)

// attrs are the values of one command. Types not known are left out. The first error of a getter is kept.
type attrs struct {
	value [attrMax + 1][]byte
	err   error
}

// parse forgets what was there.
func (a *attrs) parse(b []byte, version uint32) error {
	*a = attrs{}
	for len(b) > 0 {
		if len(b) < 2 {
			return fmt.Errorf("%d bytes are left over", len(b))
		}
		kind := binary.LittleEndian.Uint16(b)
		var value []byte
		if version >= 2 && kind == attrData {
			value, b = b[2:], nil
		} else {
			if len(b) < 4 {
				return fmt.Errorf("attribute %d is truncated", kind)
			}
			size := int(binary.LittleEndian.Uint16(b[2:]))
			if size > len(b)-4 {
				return fmt.Errorf("attribute %d of %d bytes, %d are left", kind, size, len(b)-4)
			}
			value, b = b[4:4+size], b[4+size:]
		}
		if kind > attrMax {
			continue
		}
		if a.value[kind] != nil {
			return fmt.Errorf("attribute %d twice", kind)
		}
		a.value[kind] = value[:len(value):len(value)]
	}
	return nil
}

func (a *attrs) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

func (a *attrs) bytes(kind int) []byte {
	if a.value[kind] == nil {
		a.fail("attribute %d is missing", kind)
	}
	return a.value[kind]
}

// path refuses what a receiver must not follow. The root is "".
func (a *attrs) path(kind int) string {
	p := string(a.bytes(kind))
	if p == "" {
		return p
	}
	for name := range strings.SplitSeq(p, "/") {
		if name == "" || name == "." || name == ".." || strings.Contains(name, "\x00") {
			a.fail("path %q", p)
		}
	}
	return p
}

func (a *attrs) sized(kind, size int) []byte {
	b := a.bytes(kind)
	if len(b) != size {
		a.fail("attribute %d has %d bytes, want %d", kind, len(b), size)
		return make([]byte, size)
	}
	return b
}

func (a *attrs) u64(kind int) uint64 { return binary.LittleEndian.Uint64(a.sized(kind, 8)) }

func (a *attrs) u8(kind int) uint8 { return a.sized(kind, 1)[0] }

func (a *attrs) u32(kind int) uint32 { return binary.LittleEndian.Uint32(a.sized(kind, 4)) }

func (a *attrs) uuid(kind int) UUID { return UUID(a.sized(kind, 16)) }

func (a *attrs) time(kind int) time.Time {
	b := a.sized(kind, 12)
	return time.Unix(int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint32(b[8:])))
}

// has is for attributes that may be missing.
func (a *attrs) has(kind int) bool { return a.value[kind] != nil }
