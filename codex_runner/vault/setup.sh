#!/bin/sh
# Run it with a login that may set Vault up. VAULT=bao uses the OpenBao command line.
# It looks first: what is there and does not fit ends it before anything is made.
set -eu
VAULT="${VAULT:-vault}"
export VAULT_FORMAT=table BAO_FORMAT=table

# field NAME PATH: sets `found` to a field of what is at PATH, and `there` unless nothing is. No other answer will do.
field() {
  there=yes
  if found=$("$VAULT" read -field="$1" "$2" 2>/dev/null); then
    return
  fi
  found=$("$VAULT" read -field="$1" "$2" 2>&1) || : # what it says
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
