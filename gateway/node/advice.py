"""What an operator does about each failure that only people can mend, in both languages.

A node that stops says who has to act and how, to whoever is on duty at night, in the language
of either nation. The texts are constants; what exactly was found stands in the error itself.

Spec: docs/operating.md, "Frozen pair", "Recovery", "Restored from an old backup", "Damaged database".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.core.message.wording import Wording

ADVICE: Final[Mapping[str, Wording]] = MappingProxyType(
    {
        "unproven-history": Wording(
            en="You, the operator of this node, have to act: it has signed what neither its database nor "
            "the peer can show, and signs nothing more. Keep the database and the high-water file. "
            "Put back the newest copy of the database that you have, and start again. If there is "
            "none: agree with the peer's operators and auditors, then both run `entente pair resume`, "
            "here with --home, and start this node. See docs/operating.md, “Recovery”.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : il a signé ce que ni sa base de données ni "
            "le pair ne peuvent montrer, et ne signe plus rien. Conservez la base et le fichier "
            "high-water. Remettez la copie la plus récente de la base et redémarrez. S'il n'y en a "
            "pas : mettez-vous d'accord avec les exploitants du pair et les auditeurs, puis lancez "
            "des deux côtés `entente pair resume`, ici avec --home, et démarrez ce nœud. Voir "
            "docs/operating.md, « Recovery ».",
        ),
        "generation-behind": Wording(
            en="You, the operator of this node, have to act: its database is older than the last "
            "resumption of the pair. Put back a newer copy. If there is none: agree with the peer's "
            "operators, then both run `entente pair resume`, here with --home, and start this node.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : sa base de données est antérieure à la "
            "dernière reprise de la liaison. Remettez une copie plus récente. S'il n'y en a pas : "
            "mettez-vous d'accord avec les exploitants du pair, puis lancez des deux côtés `entente "
            "pair resume`, ici avec --home, et démarrez ce nœud.",
        ),
        "log-damaged": Wording(
            en="You, the operator of this node, have to act: somebody or something has changed its "
            "database. Keep a copy of the file for the auditors, put back the newest backup and start "
            "again: the log is refilled from the peer. See docs/operating.md, “Damaged database”.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : quelqu'un ou quelque chose a modifié sa "
            "base de données. Gardez une copie du fichier pour les auditeurs, remettez la sauvegarde "
            "la plus récente et redémarrez : le journal est complété auprès du pair. Voir "
            "docs/operating.md, « Damaged database ».",
        ),
        "high-water": Wording(
            en="You, the operator of this node, have to act: the file that remembers what was signed "
            "cannot be used. Mend its disk first. If the file itself is damaged, keep it, compare the "
            "log with what the peer shows, and only then remove it: see docs/operating.md, "
            "“Recovery”.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : le fichier qui retient ce qui a été signé "
            "est inutilisable. Réparez d'abord son disque. Si le fichier lui-même est endommagé, "
            "conservez-le, comparez le journal avec ce que montre le pair, et ne le supprimez "
            "qu'ensuite : voir docs/operating.md, « Recovery ».",
        ),
        "key-file-refused": Wording(
            en="You, the operator of this node, have to act: the sentence above names the file and what is "
            "wrong with it. Every sentence of this kind is explained in docs/keys.md, “When something goes "
            "wrong”. A file that is absent comes from the copy of the ceremony; `entente init` makes a new "
            "home, `scripts/dev-keys` one for tests.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : la phrase ci-dessus nomme le fichier et ce qui "
            "ne va pas. Chaque phrase de ce genre est expliquée dans docs/cles.md, « Quand quelque chose "
            "ne va pas ». Un fichier absent se reprend de la copie de la cérémonie ; `entente init` crée un "
            "nouveau dossier de nœud, `scripts/dev-keys` un dossier d'essai.",
        ),
        "trust-refused": Wording(
            en="You, the operator of this node, have to act: something in trust/ is absent, altered or not "
            "of this node, or a key that it names is not in keys/. Find out who wrote there; bring the "
            "newest copy back, or import the peer's export again. See docs/keys.md, “When something goes "
            "wrong”.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : quelque chose dans trust/ est absent, modifié "
            "ou d'un autre nœud, ou une clé nommée n'est pas dans keys/. Cherchez qui y a écrit ; remettez "
            "la copie la plus récente, ou importez à nouveau l'export du pair. Voir docs/cles.md, "
            "« Quand quelque chose ne va pas ».",
        ),
        "config-invalid": Wording(
            en="You, the operator of this node, have to act: correct what is named above in gateway.toml, or "
            "in the environment. `entente config check --home HOME` shows what is in force, or every error "
            "at once; docs/operating.md, “Configuration”, has each key.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : corrigez ce qui est nommé ci-dessus dans "
            "gateway.toml ou dans l'environnement. `entente config check --home HOME` montre ce qui est en "
            "vigueur, ou toutes les erreurs à la fois ; docs/operating.md, « Configuration », décrit chaque "
            "clé.",
        ),
        "catalogue-invalid": Wording(
            en="You, the operator of this node, have to act: the folder of message types that is named above "
            "cannot be used. Put back the one that both nations have agreed on, or name it in gateway.toml; "
            "without the setting the catalogue of the installation counts. See docs/operating.md, “Changing "
            "the catalogue”.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : le dossier de types de messages nommé "
            "ci-dessus est inutilisable. Remettez celui dont les deux nations sont convenues, ou nommez-le "
            "dans gateway.toml ; sans ce réglage, le catalogue de l'installation compte. Voir "
            "docs/operating.md, « Changing the catalogue ».",
        ),
        "reference-list-invalid": Wording(
            en="You, the operator of this node, have to act: mend or remove the file that is named above; "
            "the list of the installation counts again. See docs/reference-lists.md.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : corrigez ou retirez le fichier nommé "
            "ci-dessus ; la liste de l'installation compte à nouveau. Voir docs/reference-lists.md.",
        ),
        "orders": Wording(
            en="You, the operator of this node, have to act: the file that remembers what was erased and "
            "held by order cannot be used. Mend its disk first. Never remove the file: without it a restored "
            "backup brings erased content back. See docs/operating.md, “A node home”.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : le fichier qui retient ce qui fut effacé ou "
            "conservé sur ordre est inutilisable. Réparez d'abord son disque. Ne supprimez jamais ce "
            "fichier : sans lui, une sauvegarde restaurée ramène du contenu effacé. Voir docs/operating.md, "
            "« A node home ».",
        ),
        "token-refused": Wording(
            en="You, the operator of this node, have to act, with those who keep the token: docs/token.md, "
            "Refusals, says for each of these sentences who does what.",
            fr="C'est à vous, exploitant de ce nœud, d'agir, avec ceux qui gardent le jeton : docs/token.md, "
            "Refusals, dit pour chacune de ces phrases qui fait quoi.",
        ),
        "store-failed": Wording(
            en="You, the operator of this node, have to act: the database cannot be opened or written. Look "
            "at its disk (room, rights, errors), at its address (store.url), and whether another process has "
            "it. SQLITE_FULL and SQLITE_IOERR_SHMSIZE are a full disk; SQLITE_NOTADB and SQLITE_CORRUPT a "
            "damaged file: keep it, and restore (docs/runbooks.md). A database of a newer release needs "
            "that release.",
            fr="C'est à vous, exploitant de ce nœud, d'agir : la base de données ne peut être ouverte ou "
            "écrite. Vérifiez son disque (place, droits, erreurs), son adresse (store.url), et si un autre "
            "processus la tient. SQLITE_FULL et SQLITE_IOERR_SHMSIZE : disque plein ; SQLITE_NOTADB et "
            "SQLITE_CORRUPT : fichier endommagé, conservez-le et restaurez (docs/procedures.md). La base "
            "d'une version plus récente demande cette version.",
        ),
        "pair-frozen": Wording(
            en="The operators of both nodes have to act: a log has two signed histories, and nothing is "
            "exchanged; messages are still accepted. `entente pair show --save DIR` writes both "
            "notes. Once it is known what happened, both run `entente pair resume`. See "
            "docs/operating.md, “Frozen pair”.",
            fr="Les exploitants des deux nœuds doivent agir : un journal a deux historiques signés et "
            "plus rien n'est échangé ; les messages restent acceptés. `entente pair show --save DIR` "
            "écrit les deux notes. Une fois l'affaire éclaircie, lancez des deux côtés `entente pair "
            "resume`. Voir docs/operating.md, « Frozen pair ».",
        ),
        "peer-frozen": Wording(
            en="The peer's operators have to act first: their node says that the pair is frozen, and this "
            "node holds no proof of it. Ask them for both notes (`entente pair show --save DIR` at their "
            "node), and let your auditors compare these (`entente audit notes`). If there are two "
            "histories, both run `entente pair resume`; if they can show none, sign nothing off. See "
            "docs/operating.md, “Frozen pair”.",
            fr="C'est d'abord aux exploitants du pair d'agir : leur nœud dit la liaison gelée, et ce "
            "nœud n'en a aucune preuve. Demandez-leur les deux notes (`entente pair show --save DIR` sur "
            "leur nœud) et faites-les comparer par vos auditeurs (`entente audit notes`). S'il y a deux "
            "histoires, lancez des deux côtés `entente pair resume` ; s'ils n'en montrent pas, ne donnez "
            "aucun accord. "
            "Voir docs/operating.md, « Frozen pair ».",
        ),
        "peer-leaps": Wording(
            en="The peer's operators have to act: their node names a generation far beyond all that this "
            "node knows, which is refused. If the database and the high-water file of this node are "
            "very old copies, put newer ones back; else their node is at fault.",
            fr="C'est aux exploitants du pair d'agir : leur nœud nomme une génération bien au-delà de toutes "
            "celles que ce nœud connaît, ce qui est refusé. Si la base et le fichier high-water de ce nœud "
            "sont de très vieilles copies, remettez-en de plus récentes ; sinon leur nœud est en faute.",
        ),
        "signed-off": Wording(
            en="This node has signed off. The peer's operators have to act: `entente pair resume` at "
            "their node. Nothing more is to be done here; the pair goes on within seconds after that.",
            fr="Ce nœud a donné son accord. C'est aux exploitants du pair d'agir : `entente pair resume` "
            "sur leur nœud. Rien d'autre à faire ici ; la liaison reprend quelques secondes après.",
        ),
        "peer-signed-off": Wording(
            en="The peer's operators have signed off, you have not: talk to them, then run `entente pair "
            "resume` here. If no fork is listed above, this node holds no proof: have them show theirs.",
            fr="Les exploitants du pair ont donné leur accord, pas vous : parlez-leur, puis lancez "
            "`entente pair resume` ici. Si aucune ligne fork ne figure ci-dessus, ce nœud n'a aucune "
            "preuve : demandez-leur la leur.",
        ),
        "waiting-for-peer": Wording(
            en="This node waits for its peer before it signs: messages are accepted and not sent. Call "
            "the peer's operators. If you know that this database is not an old copy, `entente pair "
            "override` lets the node sign.",
            fr="Ce nœud attend son pair avant de signer : les messages sont acceptés, pas envoyés. "
            "Appelez les exploitants du pair. Si vous savez que cette base n'est pas une ancienne "
            "copie, `entente pair override` laisse le nœud signer.",
        ),
    }
)
"""By the code of an error, or by a word of this module for a state that is none."""
