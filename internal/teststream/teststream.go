// Package teststream writes btrfs send streams by hand: commands no kernel makes, and real streams with something
// changed and the checksums right again. It is for _test.go files only.
package teststream

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

const headerSize = len("btrfs-stream\x00") + 4

// Attr is an attribute of a command.
type Attr struct {
	Kind  uint16 // BTRFS_SEND_A_*
	Value []byte
}

// Text is an attribute that is a string.
func Text(kind uint16, s string) Attr { return Attr{kind, []byte(s)} }

// U64 is an attribute of 8 bytes.
func U64(kind uint16, n uint64) Attr { return Attr{kind, binary.LittleEndian.AppendUint64(nil, n)} }

// U32 is an attribute of 4 bytes.
func U32(kind uint16, n uint32) Attr { return Attr{kind, binary.LittleEndian.AppendUint32(nil, n)} }

// Time is a struct btrfs_timespec.
func Time(kind uint16, sec uint64, nsec uint32) Attr {
	return Attr{kind, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, sec), nsec)}
}

// Header is what a stream begins with.
func Header(version uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte("btrfs-stream\x00"), version)
}

// Command is written as the kernel does: with dataLast, as from version 2 on, attribute 19 has no length.
func Command(number uint16, dataLast bool, attrs ...Attr) []byte {
	var body []byte
	for _, a := range attrs {
		body = binary.LittleEndian.AppendUint16(body, a.Kind)
		if !dataLast || a.Kind != 19 {
			body = binary.LittleEndian.AppendUint16(body, uint16(len(a.Value)))
		}
		body = append(body, a.Value...)
	}
	return Raw(number, body)
}

// Raw is a command whose attributes are these bytes.
func Raw(number uint16, body []byte) []byte {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	head = binary.LittleEndian.AppendUint16(head, number)
	head = append(head, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(head[6:], kernelCRC(append(bytes.Clone(head), body...)))
	return append(head, body...)
}

// kernelCRC is crc32c bit by bit, as linux/lib/crc32.c defines it: from 0, nothing inverted.
func kernelCRC(b []byte) uint32 {
	crc := uint32(0)
	for _, c := range b {
		crc ^= uint32(c)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low != 0 {
				crc ^= crc32.Castagnoli
			}
		}
	}
	return crc
}

// End is the last command.
func End() []byte { return Command(21, false) }

// Stream puts commands together.
func Stream(version uint32, commands ...[]byte) []byte {
	return append(Header(version), bytes.Join(commands, nil)...)
}

// Split takes a stream apart into its header and its commands, which [Number] and [Body] take apart further.
func Split(stream []byte) (header []byte, commands [][]byte) {
	header, rest := stream[:headerSize:headerSize], stream[headerSize:]
	for len(rest) > 0 {
		n := 10 + int(binary.LittleEndian.Uint32(rest))
		commands, rest = append(commands, rest[:n:n]), rest[n:]
	}
	return header, commands
}

// Number of a command, BTRFS_SEND_C_*.
func Number(command []byte) uint16 { return binary.LittleEndian.Uint16(command[4:]) }

// Body is the attributes of a command.
func Body(command []byte) []byte { return command[10:] }
