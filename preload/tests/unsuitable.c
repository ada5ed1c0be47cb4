// A program for `broker exec` to look at.
#ifdef GO_NOTE
__asm__(".section .note.go.buildid, \"a\", @note\n.long 4, 4, 4\n.ascii \"Go\\0\\0\"\n.long 0\n.previous");
#endif

// Ends with what its last argument says, or with 7.
int main(int count, char **values) { return count > 1 ? values[count - 1][0] - '0' : 7; }
