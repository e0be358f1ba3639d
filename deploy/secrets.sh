#!/bin/sh
# Makes ./secrets for docker-compose.yml: a random password for each login, the secret that the gateway verifies calls by,
# and a key ring. What is there already is left as it is: a new password would shut out those who have the old one, and a
# new key ring would make every case unreadable.
#
#   sh deploy/secrets.sh [FOLDER]
#
# The folder is its owner's alone. The files in it can be read by all, as each container that is given one runs as a user
# of its own.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-secrets}
image=omhand:${OMHAND_BUILD_ID:-local}

new_key_ring() {
  if command -v .venv/bin/omhand >/dev/null; then
    .venv/bin/omhand keys new --file "$folder/keyring/keys"
  else
    docker build --quiet --tag "$image" .
    docker run --rm --network none --user "$(id -u):$(id -g)" \
      --volume "$(cd "$folder/keyring" && pwd):/keyring" "$image" keys new --file /keyring/keys
  fi
  chmod 444 "$folder/keyring/keys"
}

umask 077
mkdir -p "$folder"
chmod 700 "$folder"
mkdir -p "$folder/keyring"
chmod 755 "$folder/keyring"

for name in postgres_password omhand_password omhand_app_password temporal_password gateway_secret grafana_password; do
  file=$folder/$name
  if [ -s "$file" ]; then
    echo "$file: is there already, and is left as it is"
  else
    # 32 random bytes in hexadecimal, which needs no quoting anywhere; whole, or not there.
    od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$file.new"
    chmod 444 "$file.new"
    mv "$file.new" "$file"
    echo "$file: made"
  fi
done

if [ -e "$folder/keyring/keys" ]; then
  echo "$folder/keyring/keys: is there already, and is left as it is"
else
  new_key_ring
fi
