package sendstream_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// attr is an attribute of a command that a test writes by hand.
type attr struct {
	kind  uint16
	value []byte
}

func text(kind uint16, s string) attr { return attr{kind, []byte(s)} }

func u64(kind uint16, n uint64) attr { return attr{kind, binary.LittleEndian.AppendUint64(nil, n)} }

func u32(kind uint16, n uint32) attr { return attr{kind, binary.LittleEndian.AppendUint32(nil, n)} }

func timespec(kind uint16, sec uint64, nsec uint32) attr {
	return attr{kind, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, sec), nsec)}
}

func header(version uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte("btrfs-stream\x00"), version)
}

// command is written as the kernel does: with dataLast, as from version 2 on, attribute 19 has no length.
func command(number uint16, dataLast bool, attrs ...attr) []byte {
	var body []byte
	for _, a := range attrs {
		body = binary.LittleEndian.AppendUint16(body, a.kind)
		if !dataLast || a.kind != 19 {
			body = binary.LittleEndian.AppendUint16(body, uint16(len(a.value)))
		}
		body = append(body, a.value...)
	}
	return raw(number, body)
}

func raw(number uint16, body []byte) []byte {
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

func end() []byte { return command(21, false) }

func stream(version uint32, commands ...[]byte) []byte {
	return append(header(version), bytes.Join(commands, nil)...)
}
