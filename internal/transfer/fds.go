package transfer

// SourceFD is where rsync finds the root of the backup: it inherits the target first, then this.
const SourceFD = "/proc/self/fd/4"
