#!/usr/bin/env python3
"""The house rules that no general tool knows. Prints one line a rule, `ok NAME` or `not ok NAME` with the places.

    tools/lint/house.py [NAME...]        # exit 1 when a rule is broken

The rules are functions named check_*; their first docstring line is what people see. Add one by writing one.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The order of dependency: a folder includes only itself and folders before it. cli may use all of them.
LAYERS = """base conf net metrics record format tenant quality crypt bus sink catalog ingest runner manager monitor
            api cli""".split()

# A vendor header belongs to one folder; the exceptions are stated here.
VENDORS = {
    "sqlite3.h": {"sink", "catalog", "ingest"},
    "jansson.h": {"base"},
    "openssl/": {"base"},
    "yaml.h": {"conf"},
    "lz4.h": {"sink"},
    "zlib.h": {"format"},
    "zstd.h": {"format"},
    "iconv.h": {"format", "tenant"},
    "microhttpd.h": {"api"},
    "curl/": {"cli", "catalog"},
}

BANNED = {
    "strcpy": "base/buf.h or snprintf",
    "strcat": "base/buf.h",
    "sprintf": "snprintf or base/buf.h",
    "vsprintf": "vsnprintf",
    "gets": "read",
    "atoi": "span_to_int or strtol with checks",
    "atol": "strtol with checks",
    "atof": "record/convert.h",
    "strtok": "span functions",
    "system": "runner/ or posix_spawn",
    "popen": "runner/ or posix_spawn",
    "tmpnam": "mkstemp or O_TMPFILE",
    "mktemp": "mkstemp",
    "alloca": "an arena",
    "setlocale": "nothing: the program knows no locale",
    "longjmp": "struct err",
}

FILE_MAX = 800
FUNCTION_MAX = 60


def tracked(*patterns):
    """Tracked and new files that match, as paths relative to the top."""
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
                         cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return sorted({p for p in out.split("\0") if p and (ROOT / p).is_file()})


def text(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def c_files():
    return tracked("src/*.c", "src/*.h", "apps/*.c", "tools/*.c", "bench/*.c")


def without_comments(code):
    """Comments and string contents blanked, line numbers kept."""
    def blank(m):
        s = m.group(0)
        return s if s[0] not in "/\"'" else re.sub(r"[^\n]", " ", s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, code, flags=re.S)


def check_layers():
    """a folder of src/ includes only folders before it (ARCHITECTURE.md)"""
    for path in tracked("src/*.c", "src/*.h"):
        folder = path.split("/")[1]
        if folder not in LAYERS:
            yield f"{path}:1: folder '{folder}' is not in the list of layers ({' '.join(LAYERS)})"
            continue
        for number, line in enumerate(text(path).splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+"([^"/]+)/', line)
            if m and (m[1] not in LAYERS or LAYERS.index(m[1]) > LAYERS.index(folder)):
                yield f"{path}:{number}: {folder}/ may not include {m[1]}/"


def check_vendors():
    """a vendor header is included by its own folder only"""
    for path in tracked("src/*.c", "src/*.h"):
        folder = path.split("/")[1]
        for number, line in enumerate(text(path).splitlines(), 1):
            m = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            for header, folders in VENDORS.items():
                if m and m[1].startswith(header) and folder not in folders:
                    yield f"{path}:{number}: <{m[1]}> belongs to {', '.join(sorted(folders))}/"


def check_banned():
    """no call that can't be made safe"""
    call = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path in c_files():
        for number, line in enumerate(without_comments(text(path)).splitlines(), 1):
            for m in call.finditer(line):
                yield f"{path}:{number}: {m[1]}() is banned; use {BANNED[m[1]]}"


def check_file_length():
    """no file over 800 lines"""
    for path in c_files() + tracked("test/*.c", "test/*.py", "tools/*", "bench/*"):
        n = text(path).count("\n")
        if n > FILE_MAX:
            yield f"{path}:1: {n} lines; {FILE_MAX} are allowed, split it by idea"


def check_function_length():
    """no function over 60 lines"""
    for path in c_files():
        start = name = None
        for number, line in enumerate(text(path).splitlines(), 1):
            if line == "{" and start is None:
                start = number
            elif start is None and (m := re.match(r"[A-Za-z_].*?\b(\w+)\(", line)):
                name = m[1]
            elif line.startswith("}") and start is not None:
                if number - start - 1 > FUNCTION_MAX:
                    yield f"{path}:{start}: {name}() has {number - start - 1} lines; {FUNCTION_MAX} are allowed"
                start = None


def check_header_comment():
    """every source file says first what it is for"""
    for path in c_files() + tracked("test/*.c"):
        if not text(path).startswith("/*"):
            yield f"{path}:1: begins without a comment"
    for path in tracked("test/*.py", "tools/*.py", "bench/*.py", "apps/*.py"):
        if not re.match(r'(#!.*\n)?(# .*\n)*"""', text(path)):
            yield f"{path}:1: begins without a docstring"


def check_header_comment_length():
    """a header of src/ opens with purpose, use, memory, threads, limits, in at most 60 lines"""
    for path in tracked("src/*.h"):
        m = re.match(r"/\*.*?\*/", text(path), flags=re.S)
        n = m[0].count("\n") + 1 if m else 0
        if not 1 <= n <= 60:
            yield f"{path}:1: {n} lines of opening comment"


def check_include_guard():
    """include guards are FOLDER_FILE_H"""
    for path in tracked("src/*.h"):
        guard = re.sub(r"\W", "_", "_".join(path.split("/")[1:])).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in text(path):
            yield f"{path}:1: no guard {guard}"


def check_typedef():
    """no typedef of a struct or enum"""
    for path in c_files():
        for number, line in enumerate(without_comments(text(path)).splitlines(), 1):
            if re.match(r"\s*typedef\s+(struct|enum|union)\s*\w*\s*(\{|\w+\s*;|$)", line):
                yield f"{path}:{number}: write the struct's name out"


def check_ifdef_in_function():
    """no #if inside a function"""
    for path in tracked("src/*.c", "apps/*.c"):
        inside = False
        for number, line in enumerate(text(path).splitlines(), 1):
            if line == "{":
                inside = True
            elif line.startswith("}"):
                inside = False
            elif inside and re.match(r"\s*#\s*if", line):
                yield f"{path}:{number}: make two functions of it"


def check_white_space():
    """tabs in C, no blanks at line ends, a newline at the end, 120 columns"""
    for path in c_files() + tracked("test/*.c"):
        lines = text(path).split("\n")
        if lines[-1] != "":
            yield f"{path}:{len(lines)}: no newline at the end"
        for number, line in enumerate(lines, 1):
            if line != line.rstrip():
                yield f"{path}:{number}: blanks at the end of the line"
            if line.startswith("        "):
                yield f"{path}:{number}: indented with blanks"
            if len(line.expandtabs(8)) > 120:
                yield f"{path}:{number}: {len(line.expandtabs(8))} columns; 120 are allowed"


def check_unfinished():
    """nothing marked as to be done later"""
    for path in tracked("src/*", "apps/*", "tools/*", "bench/*", "test/*.c", "test/*.py", "*.md"):
        if path == "tools/lint/house.py":
            continue
        for number, line in enumerate(text(path).splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                yield f"{path}:{number}: {line.strip()[:80]}"


def check_machine_paths():
    """no path of somebody's machine, no address of a package registry"""
    # Written with classes of one character, so that this line does not find itself.
    bad = re.compile(r"/[w]ork/(main|wt|shared|ref)\b|/[h]ome/[a-z]|/[r]oot/|/[f]arm/|\b[d]eb[.]debian|\b[p]ypi[.]org"
                     r"|[p]ythonhosted|[r]egistry[.]npm|[r]epo1?[.]maven|[p]roxy[.]golang|[i]ndex[.]crates|[s]tatic[.]crates")
    for path in tracked("*"):
        if path.endswith((".csv", ".gz", ".zst")):
            continue
        for number, line in enumerate(text(path).splitlines(), 1):
            if bad.search(line):
                yield f"{path}:{number}: {line.strip()[:100]}"


def check_readme():
    """every folder of src/ has a README.md of 10 to 80 lines"""
    for folder in sorted({p.split("/")[1] for p in tracked("src/*/*.c")}):
        readme = ROOT / "src" / folder / "README.md"
        n = readme.read_text().count("\n") if readme.exists() else 0
        if not 10 <= n <= 80:
            yield f"src/{folder}/README.md:1: {n} lines" if readme.exists() else f"src/{folder}/: no README.md"


def check_links():
    """links between the documents lead somewhere"""
    for path in tracked("*.md"):
        body = re.sub(r"```.*?```", lambda m: re.sub(r"[^\n]", " ", m[0]), text(path), flags=re.S)
        for number, line in enumerate(body.splitlines(), 1):
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
                if not re.match(r"[a-z]+:", target) and not (ROOT / path).parent.joinpath(target).exists():
                    yield f"{path}:{number}: no such file: {target}"


def check_size():
    """no tracked file over 1 MiB"""
    for path in tracked("*"):
        if (ROOT / path).stat().st_size > 1 << 20:
            yield f"{path}:1: over 1 MiB"


def main():
    checks = {n.removeprefix("check_"): f for n, f in globals().items() if n.startswith("check_")}
    wanted = sys.argv[1:] or list(checks)
    passed = failed = 0
    for name in wanted:
        if name not in checks:
            sys.exit(f"house: no rule '{name}'; there are {' '.join(checks)}")
        found = list(checks[name]())
        passed, failed = passed + (not found), failed + bool(found)
        print(f"{'not ok' if found else 'ok'} {name}: {checks[name].__doc__.splitlines()[0]}")
        for place in found[:40]:
            print(f"    {place}")
        if len(found) > 40:
            print(f"    ... and {len(found) - 40} more")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
