"""Names that nobody should be given, for whatever takes a name."""

TRAVERSAL = ("../../etc/passwd", "/etc/passwd", "..", ".", "a/../../b", "..\\..\\etc", "//etc", "~/../../etc")
UNPRINTABLE = ("a\x00b", "a\nb", "a\rb", "\x1b[2J\x1b]0;owned\x07", "a\u202eb", "a\u200bb", "\u2066x", "\x9b31m")
LOOKALIKES = ("Ԛwen/Qwen3-0.6B", "ｑｗｅｎ", "nano\u0301", "ŉano")
DEVICES = ("CON", "NUL", "aux.txt", "COM1:", "LPT9")
LONG = ("x" * 300, "x/" * 200, "é" * 300, "x" * 70_000)
SHELL = ("$(touch marker)", "`touch marker`", "; touch marker;", "| touch marker", "--help", "-rf")
EMPTY = ("", " ", "\t", "''")
NAMES = (*TRAVERSAL, *UNPRINTABLE, *LOOKALIKES, *DEVICES, *LONG, *SHELL, *EMPTY)


def tree(folder):
    """Every path below a folder with what it holds, links as links: equal before and after, nothing was touched."""
    return {
        path.relative_to(folder).as_posix(): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }
