/* LD_PRELOAD this, and nothing that the program writes is flushed: what a row costs without durability. */

int fsync(int descriptor) { (void)descriptor; return 0; }
int fdatasync(int descriptor) { (void)descriptor; return 0; }
int syncfs(int descriptor) { (void)descriptor; return 0; }
