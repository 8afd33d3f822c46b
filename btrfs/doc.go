//go:build linux

// Package btrfs is the btrfs kernel interface in pure Go: one exported function for one ioctl, no policy, no mount
// tables, no btrfs-progs, no cgo.
//
// # Parents are open directories, children are single names
//
// A function that makes or removes something takes the open directory it works in and one name below it. The kernel
// looks that name up once, inside that directory, and follows nothing: between a check on the *os.File and its use
// there is no second path lookup that somebody could redirect. Names are refused with [ErrInvalidName] when they are
// empty, ".", "..", longer than 255 bytes, or hold a slash or a NUL.
//
// # Which function for which case
//
//	open a directory and know that it is on btrfs       OpenDir, then OpenDirAt for what is below it
//	is it btrfs, is it a subvolume                      IsBtrfs, IsSubvolume
//	a new empty subvolume                               CreateSubvolume
//	an atomic copy, durable with its data               CreateSnapshot
//	remove a subvolume                                  DeleteSubvolume, or DeleteSubvolumeByID
//	wait until its space is free                        WaitDeleted (DeletedCount tells how many are left)
//	id, parent, uuids, times, generation                SubvolumeInfo
//	the read-only flag                                  ReadOnly, SetReadOnly
//	the subvolumes nested in one                        Children
//	commit metadata only                                StartSync and WaitSync
//	commit data and metadata                            Sync
//	learn of data writes the disk refused               SyncFS, on a file opened before the writing began
//	share the blocks of a file                          CloneFile, CloneRange
//	write data that is compressed already               WriteEncoded
//	the flags of chattr(1), fs-verity                   FileFlags, SetFileFlags, EnableVerity
//	space by kind and profile                           SpaceInfo (for "how much can I still write": statfs)
//	devices and their error counters                    DeviceStats
//	what a subvolume added on disk, what deleting frees AddedBytes, ExtentSet
//	which parts of its files are new                    ChangedRanges
//	the same, with what is shared by other ways         UnsharedRanges
//	where the data of a file is, and who else uses it   Extents, LogicalInodes
//	the kind of checksums of data                       ChecksumKind
//	what changed from one snapshot to another           Send
//	say where a received subvolume comes from           SetReceived
//	anything in the trees                               TreeSearch, Searcher, InodePath
//
// # Durability
//
// As observed on Linux 6.18: StartSync with WaitSync, and SetReadOnly, commit metadata without the delayed data, so
// that a file just written may be found empty, or with its old bytes, after a power cut. Sync and CreateSnapshot bring
// the data along. None of them reports data writes that the device refused, only SyncFS does, once for each open file.
// DeleteSubvolume is durable after the next commit only.
//
// # Errors
//
// Every error is an [*fs.PathError] or, where two paths take part, an [*os.LinkError]. Op is the name of the ioctl or
// system call, and the errno is inside for [errors.Is] (fs.ErrExist, fs.ErrPermission and fs.ErrNotExist match as for
// package os). A file that is closed already gives fs.ErrClosed. Where an errno alone is not enough, the error also
// matches one of [ErrNotBtrfs], [ErrNotSubvolume] and [ErrInvalidName]. ENOTTY without ErrNotBtrfs means that this
// kernel has no such call, or that the directory is one of the empty stubs that a snapshot has in the place of a nested
// subvolume.
//
// # Privileges
//
//	                                            owner, without root         needs root (CAP_SYS_ADMIN)
//	CreateSubvolume, CreateSnapshot             of own source subvolumes    of somebody else's
//	SetReadOnly                                 on own subvolumes           on somebody else's
//	DeleteSubvolume                             with the mount option       yes
//	                                            user_subvol_rm_allowed,
//	                                            not while read-only
//	DeleteSubvolumeByID                         likewise, not from itself   yes
//	IsBtrfs, IsSubvolume, ReadOnly,             anybody who can open it     -
//	SubvolumeInfo, Children, SpaceInfo,
//	DeviceStats, StartSync, WaitSync, Sync,
//	SyncFS, DeletedCount, WaitDeleted,
//	CloneFile, CloneRange, FileFlags, Extents
//	SetReceived, SetFileFlags                   on own                      on somebody else's
//	TreeSearch, AddedBytes, ExtentSet,          no                          yes
//	ChangedRanges, UnsharedRanges, InodePath,
//	LogicalInodes, Send, WriteEncoded
//
// Without root an empty subvolume, read-only or not, can still be removed by its owner with rmdir(2).
//
// # Kernels
//
// Linux 4.18 or newer is needed for SubvolumeInfo and Children, 5.7 for DeleteSubvolumeByID, 5.18 for WriteEncoded, 6.0
// for version 2 of Send, 6.13 for DeletedCount. DeleteSubvolume and WaitDeleted fall back on older calls. Processes
// built for 386 work on 32-bit and on 64-bit kernels.
package btrfs
