#!/bin/sh
# What the operator of `llmlimit serve` can do, for target.hooks: give it the policy
# beside this file again (reload), or with half of its first limit (halve). FILE is the
# copy that it watches.
set -eu
[ -n "${2-}" ] || { echo "usage: operator.sh reload|halve FILE" >&2; exit 2; }
amount=10000
[ "$1" = reload ] || amount=5000
sed -e "s/^bundle_version: .*/bundle_version: $(date +%s)/" \
    -e "/name: tpm/,/tokens_per_minute/s/tokens_per_minute: [0-9]*/tokens_per_minute: $amount/" \
    "$(dirname "$0")/policy.yaml" > "$2.new"
mv "$2.new" "$2"
sleep 2 # it looks every second
