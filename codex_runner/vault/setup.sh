#!/bin/sh
# Run this with a login that may set Vault up. VAULT=bao uses the OpenBao command line.
# It checks first: a mount that does not fit ends it before it changes anything.
set -eu
VAULT="${VAULT:-vault}"
export VAULT_FORMAT=table BAO_FORMAT=table

# field NAME PATH: set `found` to that field at PATH, and `there` if PATH exists. Any other answer ends the script.
field() {
  there=yes
  if found=$("$VAULT" read -field="$1" "$2" 2>/dev/null); then
    return
  fi
  found=$("$VAULT" read -field="$1" "$2" 2>&1) || : # the error's text
  case $found in
    *' not present in secret'*) found='' ;;
    *'No value found'* | *'No secret engine mount at '* | *'No auth engine at '*) found='' there='' ;;
    *) refuse "$found" ;;
  esac
}

refuse() {
  printf '%s\n' "$1" >&2
  exit 1
}
