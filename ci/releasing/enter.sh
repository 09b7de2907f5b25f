#!/bin/sh
# Runs a script as user 1000 in another root. In a chroot the kernel makes no user namespace, of which codex's sandbox
# consists, and container engines mostly forbid them. So this is pivot_root, in a mount namespace of its own:
#
# unshare --mount --pid --fork --kill-child sh enter.sh ROOT FOLDER SCRIPT
#
# SCRIPT is a file outside ROOT, which sh runs in FOLDER of it.
set -eu
root=$1 folder=$2 script=$3

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
cp "$script" "$root/run/script"
cd "$root"
pivot_root . .
umount -l .
cd "$folder"
exec setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
	env -i HOME=/home/codex USER=codex PATH=/usr/local/bin:/usr/bin:/bin sh /run/script
