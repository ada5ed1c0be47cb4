// A program for `broker exec` to look at.
#ifdef GO_NOTE
__asm__(".section .note.go.buildid, \"a\", @note\n.long 4, 4, 4\n.ascii \"Go\\0\\0\"\n.long 0\n.previous");
#endif

int main(void) { return 7; }
