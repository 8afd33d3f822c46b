package transfer

// SourceFD is the path at which rsync finds the root of the backup: the second file that it inherits, after the target.
const SourceFD = "/proc/self/fd/4"
