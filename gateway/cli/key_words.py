"""What `entente keys` says, in both languages. The words before `=` in lists are those of the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.core.message.wording import Wording

SECTIONS: Final[Mapping[str, Wording]] = {
    "keys": Wording(en="KEYS", fr="CLÉS"),
    "certificates": Wording(en="CERTIFICATES", fr="CERTIFICATS"),
    "revocation_lists": Wording(en="REVOCATION LISTS", fr="LISTES DE RÉVOCATION"),
    "holders": Wording(en="HOLDERS", fr="TITULAIRES"),
    "own": Wording(en="OWN", fr="NOUS"),
    "peer": Wording(en="PEER", fr="PAIR"),
}
IN_THE_NODE: Final[Mapping[str, Wording]] = {
    "kem": Wording(
        en="KEM keys rotate daily inside the running node, which announces them in its log",
        fr="les clés KEM changent chaque jour dans le nœud en marche, qui les annonce dans son journal",
    ),
    "storage": Wording(
        en="a new storage key asks for every content key to be wrapped again; not supported yet",
        fr="une nouvelle clé de stockage obligerait à rechiffrer chaque clé de contenu ; pas encore possible",
    ),
}
SIGNING_ROTATED: Final = Wording(
    en="key statement version {version}: the node puts it into its logs and signs with the new keys from "
    "there "
    "on; give auditors the new own.vkeys (entente keys export-trust)",
    fr="déclaration de clés version {version} : le nœud l'inscrit dans ses journaux et signe dès lors "
    "avec les "
    "nouvelles clés ; donnez aux auditeurs le nouveau own.vkeys (entente keys export-trust)",
)
LISTS_ISSUED: Final = Wording(
    en="new revocation lists; export the trust to the peer: entente keys export-trust",
    fr="nouvelles listes de révocation ; exportez la confiance vers le pair : entente keys export-trust",
)
AUTHORITIES_RENEWED: Final = Wording(
    en="the three authorities are good until {ends}, under the keys that they had; export the trust to the "
    "peer: entente keys export-trust",
    fr="les trois autorités sont valables jusqu'au {ends}, sous les clés qu'elles avaient ; exportez la "
    "confiance vers le pair : entente keys export-trust",
)
AUTHORITIES_WAIT: Final = Wording(
    en="new authorities wait in trust/own/next-authorities; those in force and these are good. Next:\n"
    "1. on a stick: entente keys carry-in at the node\n"
    "2. entente keys export-trust, to the peer: entente keys import-peer, without a comparison\n"
    "3. each agency, operator and auditor: entente keys issue-agency CODE --csr, with the new medium; the "
    "key may stay\n"
    "4. once they all have it, at the node: entente keys switch-authorities",
    fr="de nouvelles autorités attendent dans trust/own/next-authorities ; celles en vigueur et celles-ci "
    "sont valables. À faire :\n"
    "1. sur une clé USB : entente keys carry-in au nœud\n"
    "2. entente keys export-trust, au pair : entente keys import-peer, sans comparaison\n"
    "3. chaque service, exploitant et auditeur : entente keys issue-agency CODE --csr, avec le nouveau "
    "support ; la clé peut rester\n"
    "4. quand tous l'ont, au nœud : entente keys switch-authorities",
)
STILL_WITHOUT: Final = Wording(
    en="still without a certificate of this authority: {codes}",
    fr="encore sans certificat de cette autorité : {codes}",
)
HAVE_ALL_THE_AUTHORITIES: Final = Wording(
    en="Has the peer imported the new authorities, and have agencies, operators and auditors certificates of "
    "theirs?",
    fr="Le pair a-t-il importé les nouvelles autorités, services, exploitants et auditeurs en ont-ils des "
    "certificats ?",
)
AUTHORITIES_IN_FORCE: Final = Wording(
    en="the new authorities are in force, and certificates of those before open nothing more. Bring a new "
    "export to the peer (entente keys export-trust) and make a backup. If somebody may have the old keys, a "
    "new root follows: agencies trust what this one has certified",
    fr="les nouvelles autorités sont en vigueur, et les certificats des précédentes n'ouvrent plus rien. "
    "Apportez un nouvel export au pair (entente keys export-trust) et faites une sauvegarde. Si quelqu'un "
    "peut avoir les anciennes clés, il faut ensuite une nouvelle racine : les services se fient à ce que "
    "celle-ci a certifié",
)
SERVER_ROTATED: Final = Wording(
    en="new key and certificate of the agency and operator ports, for {names}",
    fr="nouvelle clé et nouveau certificat des ports des services et des exploitants, pour {names}",
)
PEER_ROTATED: Final = Wording(
    en="key statement version {version}; bring it to the peer before the next rotation",
    fr="déclaration de clés version {version} ; apportez-la au pair avant la prochaine rotation",
)
PASSPHRASE_CHANGED: Final = Wording(
    en="the node's keys open with the new passphrase; put it where the configuration says",
    fr="les clés du nœud s'ouvrent avec la nouvelle phrase secrète ; placez-la là où la configuration "
    "l'indique",
)
REVOKED: Final = Wording(
    en="revoked {name} {serial} ({authority})", fr="révoqué {name} {serial} ({authority})"
)
TAKEN_OUT: Final = Wording(
    en="out of the registry; the authority with this medium has issued no certificate of it",
    fr="retiré du registre ; l'autorité de ce support n'en a délivré aucun certificat",
)
CONFIRM_REVOCATION: Final = Wording(
    en="it counts at once, and two operators have to confirm it: entente approval propose, then approve",
    fr="effet immédiat, à confirmer par deux exploitants : entente approval propose, puis approve",
)
AGREE_TO_ENROL: Final = Wording(
    en="it counts once two operators have agreed: entente approval propose, then approve",
    fr="effet dès que deux exploitants sont d'accord : entente approval propose, puis approve",
)
READ_ALOUD: Final = Wording(
    en="{folder}: give it to the peer, and read these aloud:",
    fr="{folder} : remettez-le au pair, et lisez ceci à voix haute :",
)
STATED: Final = Wording(
    en="{node} of {nation}, statement version {version}",
    fr="{node} de {nation}, déclaration version {version}",
)
TEST_KEYS: Final = Wording(en="*** TEST KEYS ***", fr="*** CLÉS DE TEST ***")
ARE_THESE: Final = Wording(
    en="Are these the fingerprints that the peer has read to you?",
    fr="Sont-ce les empreintes que le pair vous a lues ?",
)
FINGERPRINTS: Final[Mapping[str, Wording]] = {
    "root keys in words": Wording(en="root keys in words", fr="clés racine, en mots"),
    "root keys (SHA-384)": Wording(en="root keys (SHA-384)", fr="clés racine (SHA-384)"),
    "root certificate (SHA-384)": Wording(en="root certificate (SHA-384)", fr="certificat racine (SHA-384)"),
}
"""What `Published.fingerprints` names."""
RECORD: Final = Wording(
    en="record: {path}; its digest goes into the audit log",
    fr="procès-verbal : {path} ; son empreinte va dans le journal d'audit",
)
IMPORTED: Final = Wording(en="imported", fr="importé")
CARRIED_OUT: Final = Wording(
    en="{count:file|files} in {stick}; nothing in the node has changed",
    fr="{count:fichier|fichiers} dans {stick} ; rien n'a changé dans le nœud",
)
NEXT_SIGN: Final = Wording(
    en="next, on the offline machine: entente keys sign-statement",
    fr="à faire, sur la machine hors ligne : entente keys sign-statement",
)
SHALL_SIGN: Final = Wording(en="Shall the root state this?", fr="La racine doit-elle l'attester ?")
SIGNED: Final = Wording(
    en="signed; next, on the node: entente keys carry-in",
    fr="signé ; à faire, sur le nœud : entente keys carry-in",
)
INSTALLED: Final = Wording(en="installed {name}", fr="installé {name}")
NOTHING_NEWER: Final = Wording(
    en="nothing on the stick is newer than what the node has",
    fr="rien sur le support n'est plus récent que ce qu'a le nœud",
)
ROOT_WAITS: Final = Wording(
    en="the new root waits in trust/own/next, and nothing has changed. Next:\n"
    "1. on a stick: entente keys carry-in at the node\n"
    "2. entente keys export-trust, to the peer in person: entente keys import-peer FOLDER --replace-root\n"
    "3. agencies, operators, auditors: trust/own/next/ca.pem, which holds both roots, as their ca.pem\n"
    "4. once they all have it, at the node: entente keys switch-root",
    fr="la nouvelle racine attend dans trust/own/next, et rien n'a changé. À faire :\n"
    "1. sur une clé USB : entente keys carry-in au nœud\n"
    "2. entente keys export-trust, au pair en personne : entente keys import-peer DOSSIER --replace-root\n"
    "3. services, exploitants, auditeurs : trust/own/next/ca.pem, qui contient les deux racines, comme "
    "ca.pem\n"
    "4. quand tous l'ont, au nœud : entente keys switch-root",
)
COMPARE_ROOT: Final = Wording(
    en="a new root waits in trust/own/next: compare it with the transcript that its ceremony has signed",
    fr="une nouvelle racine attend dans trust/own/next : comparez-la au procès-verbal signé à sa cérémonie",
)
HAVE_ALL_THE_ROOT: Final = Wording(
    en="Has the peer imported this root, and have agencies and operators its certificate?",
    fr="Le pair a-t-il importé cette racine, services et exploitants ont-ils son certificat ?",
)
ROOT_IN_FORCE: Final = Wording(
    en="the new root is in force, key statement version {version}. Give auditors a new export "
    "(entente keys export-trust) and agencies trust/own/root.pem alone as their ca.pem; destroy the old root "
    "once all have it",
    fr="la nouvelle racine est en vigueur, déclaration de clés version {version}. Donnez aux auditeurs un "
    "nouvel export (entente keys export-trust) et aux services trust/own/root.pem seul comme ca.pem ; "
    "détruisez l'ancienne racine quand tous l'ont",
)
NEXT_ROOT: Final = Wording(
    en="a new root, which is not in force yet; read these aloud as well:",
    fr="une nouvelle racine, pas encore en vigueur ; lisez aussi ceci à voix haute :",
)
ROOT_OFFERED: Final = Wording(
    en="the other nation has a new root: compare its fingerprints with its people, then repeat with "
    "--replace-root",
    fr="l'autre nation a une nouvelle racine : comparez ses empreintes avec ses représentants, puis répétez "
    "avec --replace-root",
)
