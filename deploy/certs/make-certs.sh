#!/bin/sh
# Makes the certificates that the nodes of a cluster show each other: a CA of the cluster's own, and
# one certificate a node, for both ends of a connection. Run again it keeps what is there, and makes
# only what is missing or ends within 30 days. Needs openssl 1.1.1 or newer.
#
#   make-certs.sh DIR NODE[,NAME…] …
#
# Each NODE gets DIR/NODE.pem and DIR/NODE-key.pem, for the name NODE, further NAMEs or IP addresses
# that other nodes reach it at, and this machine itself. Every node needs DIR/ca.pem and its own two
# files. DIR/ca-key.pem makes members of the cluster: keep it away from the nodes where that matters.
# No globbing (-f): a NAME may be *.example.
set -euf

caDays=3650
nodeDays=825
renewSeconds=$((30 * 24 * 3600))

fail() {
  echo "make-certs.sh: $1" >&2
  exit 1
}

[ $# -ge 2 ] || fail 'usage: make-certs.sh DIR NODE[,NAME…] …'
command -v openssl >/dev/null || fail 'openssl is not installed'

dir=$1
shift
mkdir -p "$dir"
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

new_key() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1"
}

# A certificate that ends soon counts as missing.
lasts() {
  [ -f "$1" ] && openssl x509 -in "$1" -noout -checkend "$renewSeconds" >/dev/null
}

make_ca() {
  new_key "$work/ca-key.pem"
  cat >"$work/ca.cnf" <<-END
	[req]
	prompt = no
	distinguished_name = name
	x509_extensions = ca
	[name]
	CN = homing peers
	[ca]
	basicConstraints = critical, CA:true
	keyUsage = critical, keyCertSign, cRLSign
	subjectKeyIdentifier = hash
	END
  openssl req -x509 -new -key "$work/ca-key.pem" -config "$work/ca.cnf" -days "$caDays" \
    -out "$work/ca.pem"
  mv "$work/ca-key.pem" "$work/ca.pem" "$dir"
  chmod 644 "$dir/ca.pem"
}

# $1: the file's name; $2: everything it is called, with commas.
make_node() {
  names=DNS:localhost,IP:127.0.0.1,IP:::1
  for name in $(echo "$2" | tr ',' ' '); do
    case $name in
      *:*) names=$names,IP:$name ;;
      *[!0-9.]*) names=$names,DNS:$name ;;
      *) names=$names,IP:$name ;;
    esac
  done
  new_key "$work/key.pem"
  cat >"$work/node.cnf" <<-END
	[req]
	prompt = no
	distinguished_name = name
	[name]
	CN = $1
	[node]
	basicConstraints = critical, CA:false
	keyUsage = critical, digitalSignature
	extendedKeyUsage = serverAuth, clientAuth
	subjectAltName = $names
	subjectKeyIdentifier = hash
	authorityKeyIdentifier = keyid
	END
  openssl req -new -key "$work/key.pem" -config "$work/node.cnf" -out "$work/node.csr"
  openssl x509 -req -in "$work/node.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca-key.pem" \
    -set_serial "0x$(openssl rand -hex 16)" -days "$nodeDays" -extfile "$work/node.cnf" -extensions node \
    -out "$work/cert.pem" 2>"$work/log" || fail "$(cat "$work/log")"
  mv "$work/key.pem" "$dir/$1-key.pem"
  mv "$work/cert.pem" "$dir/$1.pem"
  chmod 644 "$dir/$1.pem"
  echo "made $dir/$1.pem for $2"
}

if ! lasts "$dir/ca.pem"; then
  # What the old CA signed is no longer trusted beside the new one.
  if [ -f "$dir/ca.pem" ]; then
    fail "$dir/ca.pem ends within 30 days: take all files out of $dir, make new ones, and give them to all nodes"
  fi
  make_ca
fi

for node in "$@"; do
  file=${node%%,*}
  if lasts "$dir/$file.pem" && [ -f "$dir/$file-key.pem" ]; then continue; fi
  [ -f "$dir/ca-key.pem" ] || fail "$dir/ca-key.pem is needed to make $file.pem"
  make_node "$file" "$node"
done
