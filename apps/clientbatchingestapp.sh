#!/bin/sh
# clientbatchingestapp in shell and awk: drop the records that have a null value (an unquoted empty cell).
#
# The same contract as clientbatchingestapp.c: reads {SOURCE_PATH}/{CLIENT_ID}/in, writes the same names into .../out,
# what is kept byte for byte. Lines are joined while a quote is open. Not for files with CR line ends or with quotes
# inside unquoted cells: use the C app there.
set -eu
: "${CLIENT_ID:?clientbatchingestapp.sh: CLIENT_ID is not set}" "${SOURCE_PATH:?clientbatchingestapp.sh: SOURCE_PATH is not set}"
base=$SOURCE_PATH/$CLIENT_ID
temporary=$base/out/.clientbatchingestapp.tmp
trap 'rm -f "$temporary"' EXIT
LC_ALL=C
export LC_ALL

for source in "$base"/in/*; do
	name=${source##*/}
	case $name in *.tmp | *.part) continue ;; esac
	[ -f "$source" ] || continue
	awk -v name="$name" '
		{
			record = open ? record "\n" $0 : $0
			open = gsub(/"/, "\"", record) % 2
			if (open) next
			bare = record
			sub(/\r$/, "", bare)
			if (bare == "") next
			gsub(/"([^"]|"")*"/, "q", bare)
			if (!header) { header = 1; print record; next }
			records++
			if (bare ~ /^,|,,|,$/) dropped++
			else print record
		}
		END {
			if (open) print record
			printf "clientbatchingestapp.sh: %s: %d records, %d dropped for a null value\n", name, records, dropped > "/dev/stderr"
		}
	' "$source" >"$temporary"
	mv "$temporary" "$base/out/$name"
done
