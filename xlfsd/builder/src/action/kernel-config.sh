#!/bin/sh
# kernel-config: run in a kernel's tree, arguments go to its make. The base, then
# the fragments in order, then olddefconfig; and every line of the fragments must
# stand in what comes out.
set -eu
output=.
for argument in "$@"; do
    case $argument in O=*) output=${argument#O=} ;; esac
done
make "$@" "$(cat /xlfs/kernel/base)"
cat /xlfs/kernel/*.config >>"$output/.config"
make "$@" olddefconfig
wrong=0
for fragment in /xlfs/kernel/*.config; do
    name=${fragment##*/??-}
    while IFS= read -r line; do
        case $line in
        CONFIG_*=n) option=${line%%=*} wanted=n ;;
        CONFIG_*=*) option=${line%%=*} wanted=${line#*=} ;;
        "# CONFIG_"*" is not set") option=${line#\# } option=${option%% *} wanted=n ;;
        *) continue ;;
        esac
        found=$(sed -n "s/^$option=//p" "$output/.config" | tail -n 1)
        if [ "${found:-n}" != "$wanted" ]; then
            echo "kernel-config: ${name%.config}: $option=$wanted did not stick: the configuration has ${found:-n} (what it depends on is not set, or something selects it)" >&2
            wrong=$((wrong + 1))
        fi
    done <"$fragment"
done
[ "$wrong" = 0 ]
