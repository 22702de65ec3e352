"""What the file of evidence says to the person who opens it, in English and in French.

The texts name files and commands but hold nothing of a message, so they are the same in
every file. A test runs the commands as they stand here.

Spec: docs/spec/evidence.md.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class _Part(NamedTuple):
    """A step: what it shows in both languages, and how to repeat it."""

    en: str
    fr: str
    commands: str = ""


_PARTS: Final = (
    _Part(
        en="""\
EVIDENCE OF ONE MESSAGE

This archive shows that a message was sent by one nation's node (origin), that the other
nation's node holds it (delivery), what that node decided about it (acceptance), and, if the
file content-key is here, what it says (content). You need nothing of the software that made
it. All commands are for bash, in the folder where you have unpacked the archive.

One thing is not in here: a reason to trust the keys. Compare keys/ with a copy that reached
you in another way, or verify the two statements with the keys of the national roots, whose
fingerprints stand in the record of the ceremony.

  entry, entry.tlog-proof       what the sender's log says of the message; where it stands, with the
                                signed state of the log (checkpoint)
  receipt, receipt.tlog-proof   the same for the receiver's answer, from the receiver's log
  ciphertext                    the encrypted content; absent if it was erased
  content-key                   32 bytes that open this content and no other; absent if not disclosed
  keys/                         verifier keys of both nodes (C2SP signed-note) and the statements of
                                the national roots that name them
  policy                        which keys have to have signed (C2SP tlog-policy)
  schema/                       the rules for messages of this type, as both nations agreed on them
""",
        fr="""\
PREUVES D'UN MESSAGE

Cette archive montre qu'un message a été envoyé par le nœud d'une nation (origine), que le
nœud de l'autre nation le détient (remise), ce que ce nœud en a décidé (acceptation) et, si le
fichier content-key est présent, ce qu'il dit (contenu). Rien du logiciel qui l'a produite
n'est nécessaire. Les commandes sont pour bash, dans le dossier où l'archive a été ouverte.

Une chose n'y est pas : une raison de croire aux clés. Comparez keys/ avec une copie reçue par
une autre voie, ou vérifiez les deux déclarations avec les clés des racines nationales, dont
les empreintes figurent au procès-verbal de la cérémonie.

  entry, entry.tlog-proof       ce que dit du message le journal de l'expéditeur ; sa place, avec
                                l'état signé de ce journal (checkpoint)
  receipt, receipt.tlog-proof   de même pour la réponse du destinataire, dans son journal
  ciphertext                    le contenu chiffré ; absent s'il a été effacé
  content-key                   32 octets qui ouvrent ce contenu et aucun autre ; absent si non divulgué
  keys/                         clés de vérification des deux nœuds (C2SP signed-note) et déclarations
                                des racines nationales qui les nomment
  policy                        quelles clés doivent avoir signé (C2SP tlog-policy)
  schema/                       les règles des messages de ce type, convenues par les deux nations
""",
    ),
    _Part(
        en="""\
1. ORIGIN: the entry is in the log (RFC 6962). Any program for such proofs will do; this one needs
only Python's standard library. It prints "in the log". For the receipt, write receipt for entry.
""",
        fr="""\
1. ORIGINE : l'inscription est dans le journal (RFC 6962). Tout programme pour ces preuves convient ;
celui-ci ne demande que Python. Il affiche « in the log ». Pour le reçu, mettez receipt à la place d'entry.
""",
        commands="""\
python3 - entry <<'END'
import base64, hashlib, sys
sha = lambda data: hashlib.sha256(data).digest()
name = sys.argv[1]
head, proof, note = open(name + ".tlog-proof", "rb").read().partition(b"\\n\\n")
title, index, *path = head.split(b"\\n")
origin, size, root = note.split(b"\\n")[:3]
node = sha(b"\\0" + open(name, "rb").read())
place, last = int(index.split()[1]), int(size) - 1
for line in path:
    sibling = base64.b64decode(line)
    if place % 2 or place == last:
        node = sha(b"\\1" + sibling + node)
        while place and place % 2 == 0:
            place, last = place // 2, last // 2
    else:
        node = sha(b"\\1" + node + sibling)
    place, last = place // 2, last // 2
print("in the log" if last == 0 and node == base64.b64decode(root) else "NOT IN THE LOG")
END""",
    ),
    _Part(
        en="""\
2. ORIGIN: the log's node has signed that state, with Ed25519. OpenSSL says "Verified Successfully".
""",
        fr="""\
2. ORIGINE : le nœud a signé cet état, en Ed25519. OpenSSL affiche « Verified Successfully ».
""",
        commands="""\
der='\\060\\052\\060\\005\\006\\003\\053\\145\\160\\003\\041\\000'
sed '1,/^$/d' entry.tlog-proof | sed '/^$/,$d' > text
(printf "$der"; sed -n 1p keys/sender.vkeys | cut -d+ -f3- | base64 -d | tail -c 32) > key.der
awk -v name="$(head -n 1 text)" '$2 == name && length($3) < 200 {print $3}' entry.tlog-proof |
    base64 -d | tail -c 64 > sig
openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile sig""",
    ),
    _Part(
        en="""\
3. DELIVERY: the other node has signed the same state as one whose every entry and ciphertext it
holds. Its line carries the time, which is signed too.
""",
        fr="""\
3. REMISE : l'autre nœud a signé ce même état, dont il détient chaque inscription et chaque contenu
chiffré. Sa ligne porte l'heure, signée elle aussi.
""",
        commands="""\
(printf "$der"; sed -n 3p keys/receiver.vkeys | cut -d+ -f3- | base64 -d | tail -c 32) > key.der
name=$(sed -n 3p keys/receiver.vkeys | cut -d+ -f1)
awk -v name="$name" '$2 == name && length($3) < 200 {print $3}' entry.tlog-proof | base64 -d > line
tail -c 64 line > sig
time=$(printf %d 0x$(tail -c +5 line | head -c 8 | od -An -v -tx1 | tr -d ' '))
(printf 'cosignature/v1\\ntime %d\\n' $time; cat text) > cosigned
openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in cosigned -sigfile sig""",
    ),
    _Part(
        en="""\
4. BOTH, AGAINST QUANTUM COMPUTERS: each of the two has signed with ML-DSA-87 (FIPS 204, empty context)
as well, and both signatures are required. These commands write the key and what is signed; OpenSSL 3.5 or
any other program for ML-DSA-87 verifies it with: openssl pkeyutl -verify -pubin -keyform DER -inkey key.der
-rawin -in message -sigfile sig
For the other node take line 4 of keys/receiver.vkeys.
""",
        fr="""\
4. LES DEUX, FACE AUX ORDINATEURS QUANTIQUES : chacun des deux a signé aussi en ML-DSA-87 (FIPS 204,
contexte vide), et les deux signatures sont exigées. Ces commandes écrivent la clé et ce qui est signé ;
OpenSSL 3.5 ou tout programme pour ML-DSA-87 le vérifie : openssl pkeyutl -verify -pubin -keyform DER
-inkey key.der -rawin -in message -sigfile sig
Pour l'autre nœud, prenez la ligne 4 de keys/receiver.vkeys.
""",
        commands="""\
vkey=$(sed -n 2p keys/sender.vkeys)
name=$(echo "$vkey" | cut -d+ -f1)
spki='\\060\\202\\012\\062\\060\\013\\006\\011\\140\\206\\110\\001\\145\\003\\004\\003\\023\\003\\202\\012\\041\\000'
(printf "$spki"; echo "$vkey" | cut -d+ -f3- | base64 -d | tail -c 2592) > key.der
awk -v name="$name" '$2 == name && length($3) > 200 {print $3}' entry.tlog-proof | base64 -d > line
tail -c 4627 line > sig
number() { printf %016x $1 | sed 's/../\\\\x&/g'; }
short() { printf %02x ${#1} | sed 's/../\\\\x&/'; }
(printf 'subtree/v1\\n\\0'; printf "$(short "$name")"; printf %s "$name"; tail -c +5 line | head -c 8
origin=$(sed -n 1p text); printf "$(short "$origin")"; printf %s "$origin"
printf "$(number 0)$(number $(sed -n 2p text))"; sed -n 3p text | base64 -d) > message""",
    ),
    _Part(
        en="""\
5. THE CIPHERTEXT is the one that the entry names: its SHA-384 stands in the entry. Prints 1.
""",
        fr="""\
5. LE CONTENU CHIFFRÉ est celui que nomme l'inscription : son SHA-384 y figure. Affiche 1.
""",
        commands="""\
od -An -v -tx1 entry | tr -d ' \\n' | grep -c $(sha384sum < ciphertext | cut -c 1-96)""",
    ),
    _Part(
        en="""\
6. THE SCHEMA is the one that the entry names, in the same way. Prints 1. (Absent if the rules have
changed since.)
""",
        fr="""\
6. LE SCHÉMA est celui que nomme l'inscription, de même. Affiche 1. (Absent si les règles ont changé
depuis.)
""",
        commands="""\
digest=$(cd schema && find . -type f | sed 's|^./||' | LC_ALL=C sort | xargs sha384sum |
    sha384sum | cut -c 1-96)
od -An -v -tx1 entry | tr -d ' \\n' | grep -c $digest""",
    ),
    _Part(
        en="""\
7. ACCEPTANCE: repeat 1 and 2 (and 4) with receipt for entry, receiver for sender and sender for
receiver. The receipt is MessagePack: kind 2, the sender's log, first index, count, root, time in
milliseconds, exceptions. The message's index lies in the range; without an exception for it, it was
received.

8. CONTENT: the ciphertext is C2SP chunked-encryption with HKDF-SHA-512 and AES-256-GCM, under content-key,
with the context "entente/content/v1", a zero byte and the header (the second field of entry, bytes).
Inside: length (4 bytes), a MessagePack array that begins with the message as JSON, and zeros.

The formats: c2sp.org (signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof, tlog-policy,
chunked-encryption), RFC 6962, RFC 8032, FIPS 204, msgpack.org.
""",
        fr="""\
7. ACCEPTATION : reprenez 1 et 2 (et 4) avec receipt pour entry, receiver pour sender et sender pour
receiver. Le reçu est en MessagePack : genre 2, journal de l'expéditeur, premier rang, nombre, racine,
heure en millisecondes, exceptions. Le rang du message est dans l'intervalle ; sans exception pour lui, il
a été reçu.

8. CONTENU : le contenu chiffré suit C2SP chunked-encryption avec HKDF-SHA-512 et AES-256-GCM, sous
content-key, avec pour contexte « entente/content/v1 », un octet nul et l'en-tête (le deuxième champ
d'entry, octets). Dedans : longueur (4 octets), un tableau MessagePack qui commence par le message en JSON,
et des zéros.

Les formats : c2sp.org (signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof, tlog-policy,
chunked-encryption), RFC 6962, RFC 8032, FIPS 204, msgpack.org.
""",
    ),
)


def commands() -> list[str]:
    """Return the commands of each step that has some, as they stand in both texts."""
    return [part.commands for part in _PARTS if part.commands]


def _text(language: str) -> bytes:
    blocks: list[str] = []
    for part in _PARTS:
        blocks.append(part.fr if language == "fr" else part.en)
        if part.commands:
            blocks.append(f"{part.commands}\n")
    return "\n".join(blocks).encode()


README: Final = _text("en")
LISEZMOI: Final = _text("fr")
