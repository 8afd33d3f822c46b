package sendstream_test

import "github.com/rsbtbackup/rsbtbackup/internal/teststream"

// attr is an attribute of a command that a test writes by hand.
type attr = teststream.Attr

func text(kind uint16, s string) attr { return teststream.Text(kind, s) }

func u64(kind uint16, n uint64) attr { return teststream.U64(kind, n) }

func u32(kind uint16, n uint32) attr { return teststream.U32(kind, n) }

func timespec(kind uint16, sec uint64, nsec uint32) attr { return teststream.Time(kind, sec, nsec) }

func header(version uint32) []byte { return teststream.Header(version) }

func command(number uint16, dataLast bool, attrs ...attr) []byte {
	return teststream.Command(number, dataLast, attrs...)
}

func raw(number uint16, body []byte) []byte { return teststream.Raw(number, body) }

func end() []byte { return teststream.End() }

func stream(version uint32, commands ...[]byte) []byte {
	return teststream.Stream(version, commands...)
}

func bin(kind uint16, value []byte) attr { return attr{Kind: kind, Value: value} }
