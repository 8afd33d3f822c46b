package sendstream

import "fmt"

// newCommand makes the command of that number, BTRFS_SEND_C_*, out of its attributes.
func newCommand(number uint16, a *attrs) (Command, error) {
	c := command(number, a)
	if c == nil {
		return nil, fmt.Errorf("not a known command")
	}
	return c, a.err
}

func command(number uint16, a *attrs) Command {
	switch number {
	case 1:
		return Subvol{a.path(attrPath), a.uuid(attrUUID), a.u64(attrCTransID)}
	case 2:
		return Snapshot{a.path(attrPath), a.uuid(attrUUID), a.u64(attrCTransID), a.uuid(attrCloneUUID), a.u64(attrCloneCTransID)}
	case 3, 4, 5, 6, 7, 8:
		return newMake(Kind(number-3), a)
	case 9:
		return Rename{a.path(attrPath), a.path(attrPathTo)}
	case 10:
		return Link{a.path(attrPath), a.path(attrPathLink)}
	case 11:
		return Unlink{a.path(attrPath)}
	case 12:
		return Rmdir{a.path(attrPath)}
	case 13:
		return SetXattr{a.path(attrPath), string(a.bytes(attrXattrName)), a.bytes(attrXattrData)}
	case 14:
		return RemoveXattr{a.path(attrPath), string(a.bytes(attrXattrName))}
	case 15:
		return Write{a.path(attrPath), a.u64(attrFileOffset), a.bytes(attrData)}
	case 16:
		return Clone{a.path(attrPath), a.u64(attrFileOffset), a.u64(attrCloneLen), a.path(attrClonePath), a.uuid(attrCloneUUID), a.u64(attrCloneCTransID), a.u64(attrCloneOffset)}
	case 17:
		return Truncate{a.path(attrPath), a.u64(attrSize)}
	case 18:
		return Chmod{a.path(attrPath), a.u64(attrMode)}
	case 19:
		return Chown{a.path(attrPath), a.u64(attrUID), a.u64(attrGID)}
	case 20:
		return Utimes{a.path(attrPath), a.time(attrAtime), a.time(attrMtime), a.time(attrCtime)}
	case 21:
		return End{}
	case 22:
		return UpdateExtent{a.path(attrPath), a.u64(attrFileOffset), a.u64(attrSize)}
	case 23:
		return Fallocate{a.path(attrPath), a.u32(attrFallocateMode), a.u64(attrFileOffset), a.u64(attrSize)}
	case 24:
		return FileAttr{a.path(attrPath), a.u64(attrFileAttr)}
	case 25:
		return newEncodedWrite(a)
	case 26:
		return EnableVerity{a.path(attrPath), a.u8(attrVerityAlgo), a.u32(attrVerityBlock), a.bytes(attrVeritySalt), a.bytes(attrVeritySig)}
	}
	return nil
}

func newMake(kind Kind, a *attrs) Make {
	m := Make{Kind: kind, Path: a.path(attrPath), Inode: a.u64(attrInode)}
	switch kind {
	case Node, FIFO, Socket:
		m.Mode, m.RDev = a.u64(attrMode), a.u64(attrRDev)
	case Symlink:
		m.Target = string(a.bytes(attrPathLink))
	}
	return m
}

func newEncodedWrite(a *attrs) EncodedWrite {
	w := EncodedWrite{
		Path:             a.path(attrPath),
		Offset:           a.u64(attrFileOffset),
		UnencodedFileLen: a.u64(attrUnencFileLen),
		UnencodedLen:     a.u64(attrUnencLen),
		UnencodedOffset:  a.u64(attrUnencOffset),
		Data:             a.bytes(attrData),
	}
	if a.has(attrCompression) {
		w.Compression = a.u32(attrCompression)
	}
	if a.has(attrEncryption) {
		w.Encryption = a.u32(attrEncryption)
	}
	return w
}
