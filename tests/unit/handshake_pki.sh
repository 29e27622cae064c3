#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The certificates of the handshake tests: good ones, and one for each thing that can be wrong.
# Usage: handshake_pki.sh DIRECTORY (made anew). Every leaf is NAME.pem (chain) and NAME.key.
set -eu

directory=$1
rm -rf "$directory"
mkdir -p "$directory"
cd "$directory"
exec 2>openssl.log

now=$(date -u +%s)
at() { # seconds from now, as openssl writes times
    date -u -d "@$((now + $1))" +%Y%m%d%H%M%SZ
}
day=86400

# authority NAME SUBJECT [START]: a self-signed CA with a database of its own
authority() {
    mkdir -p "$1.db"
    : >"$1.db/index.txt"
    echo 1000 >"$1.db/serial"
    echo 01 >"$1.db/crlnumber"
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    cat >"$1.cnf" <<CONFIG
[ca]
default_ca = here
[here]
database = $1.db/index.txt
serial = $1.db/serial
crlnumber = $1.db/crlnumber
new_certs_dir = $1.db
certificate = $1.pem
private_key = $1.key
default_md = sha256
default_days = 365
default_crl_days = 30
policy = any
unique_subject = no
[any]
commonName = optional
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
CONFIG
    openssl ca -batch -selfsign -config "$1.cnf" -keyfile "$1.key" -in "$1.csr" -out "$1.pem" -notext \
        -extensions authority -startdate "$(at "${3:-$((-3650 * day))}")" -enddate "$(at $((3650 * day)))"
}

# issue CA NAME EXTENSIONS [START END [SUBJECT [CURVE]]]: times in seconds from now
issue() {
    openssl ecparam -name "${7:-prime256v1}" -genkey -noout -out "$2.key"
    openssl req -new -key "$2.key" -subj "${6:-/CN=$2}" -out "$2.csr"
    printf '%b' "$3" >"$2.ext"
    openssl ca -batch -config "$1.cnf" -in "$2.csr" -out "$2.pem" -notext -extfile "$2.ext" \
        -startdate "$(at "${4:--3600}")" -enddate "$(at "${5:-$((300 * day))}")"
}

# extensions USAGES SANS
extensions() {
    printf 'basicConstraints=critical,CA:FALSE\\nkeyUsage=critical,digitalSignature\\n'
    printf 'extendedKeyUsage=%s\\nsubjectAltName=%s\\n' "$1" "$2"
}

in_cse=DNS:in-cse.sp.example
mn_1=DNS:mn-1.in-cse.sp.example
door=URI:m2m://sp.example/Sdoor1

authority ca "/CN=End-to-end CA"
authority other "/CN=Another CA"
authority future "/CN=Future CA" $((10 * day))
authority twin "/CN=End-to-end CA" # the same name, another key

issue ca in-cse "$(extensions serverAuth $in_cse)"
issue ca mn-1 "$(extensions clientAuth $mn_1)"
issue ca door "$(extensions clientAuth $door)"
issue ca sensor "$(extensions clientAuth URI:m2m://sp.example/Ssensor1)"

# members' certificates with something wrong
issue ca door-expired "$(extensions clientAuth $door)" $((-3000 * day)) $((-2990 * day))
issue ca door-future "$(extensions clientAuth $door)" $((10 * day)) $((20 * day))
issue ca door-revoked "$(extensions clientAuth $door)"
issue other door-other "$(extensions clientAuth $door)"
issue twin door-twin "$(extensions clientAuth $door)"
issue ca door-two-names "$(extensions clientAuth "$door,URI:m2m://sp.example/Sdoor2")"
issue ca door-name-and-mail "$(extensions clientAuth "$door,email:door@sp.example")"
issue ca door-no-san 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n' \
    -3600 $((300 * day)) "/CN=m2m:\/\/sp.example\/Sdoor1"
issue ca door-dns "$(extensions clientAuth DNS:m2m.sp.example)"
issue ca door-both-usages "$(extensions clientAuth,serverAuth $door)"
issue ca door-other-usage "$(extensions serverAuth $door)"
issue ca door-any-usage "$(extensions clientAuth,anyExtendedKeyUsage $door)"
issue ca door-no-usage "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nsubjectAltName=$door\n"
issue ca door-agrees "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyAgreement\nextendedKeyUsage=clientAuth\nsubjectAltName=$door\n"
issue ca door-p384 "$(extensions clientAuth $door)" -3600 $((300 * day)) "/CN=door" secp384r1

# what might pass for the IN-CSE
issue ca in-cse-expired "$(extensions serverAuth $in_cse)" $((-3000 * day)) $((-2990 * day))
issue ca in-cse-revoked "$(extensions serverAuth $in_cse)"
issue other in-cse-other "$(extensions serverAuth $in_cse)"
issue ca in-cse-both-usages "$(extensions serverAuth,clientAuth $in_cse)"
issue ca in-cse-client "$(extensions clientAuth $in_cse)"
issue ca in-cse-cn "$(extensions serverAuth DNS:elsewhere.sp.example)" -3600 $((300 * day)) "/CN=in-cse.sp.example"
issue ca in-cse-other-name "$(extensions serverAuth DNS:in-cse2.sp.example)"

# of a CA that is not valid yet
issue future in-cse-future "$(extensions serverAuth $in_cse)"

# a chain through an intermediate CA
issue ca middle 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n'
cp -r ca.db middle.db
: >middle.db/index.txt
sed 's/ca\.db/middle.db/; s/= ca\./= middle./' ca.cnf >middle.cnf
sed -i 's/ca\.db/middle.db/g' middle.cnf
issue middle door-middle "$(extensions clientAuth $door)"
cat middle.pem >>door-middle.pem

openssl ca -config middle.cnf -gencrl -out crl-middle.pem
openssl ca -config ca.cnf -revoke door-revoked.pem
openssl ca -config ca.cnf -revoke in-cse-revoked.pem
openssl ca -config ca.cnf -gencrl -out crl.pem
openssl ca -config ca.cnf -gencrl -out crl-overdue.pem -crl_lastupdate "$(at $((-20 * day)))" \
    -crl_nextupdate "$(at $((-10 * day)))"
openssl ca -config other.cnf -gencrl -out crl-other.pem
# One later: the door is revoked too. And what is no list to go by: a delta, a part, without a number.
openssl ca -config ca.cnf -gencrl -out crl-next.pem
openssl ca -config ca.cnf -revoke door.pem
openssl ca -config ca.cnf -gencrl -out crl-door.pem
printf '[delta]\n2.5.29.27 = critical,DER:020101\n[part]\nissuingDistributionPoint = critical,@only\n[only]\nonlyuser = TRUE\n' >>ca.cnf
openssl ca -config ca.cnf -gencrl -crlexts delta -out crl-delta.pem
openssl ca -config ca.cnf -gencrl -crlexts part -out crl-part.pem
sed '/^crlnumber/d' ca.cnf >ca-plain.cnf
openssl ca -config ca-plain.cnf -gencrl -out crl-plain.pem
echo 50 >twin.db/crlnumber
openssl ca -config twin.cnf -gencrl -out crl-twin.pem
