"""Why a file of keys or a token is refused, in French; `gateway.keyring.refusals` has the English.

Spec: docs/keys.md, "When something goes wrong"; docs/token.md, "Refusals".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.keyring.refusals import Refusal, TokenRefusal

FILES: Final[Mapping[Refusal, str]] = {
    Refusal.ABSENT: "n'existe pas",
    Refusal.EXISTS: "existe déjà et n'est pas remplacé",
    Refusal.UNREADABLE: "ne peut être ouvert",
    Refusal.UNWRITABLE: "ne peut être écrit",
    Refusal.SYMLINK: "est un lien symbolique ; nommez le fichier lui-même",
    Refusal.NOT_A_FILE: "n'est pas un fichier ordinaire",
    Refusal.NOT_A_FOLDER: "n'est pas un dossier",
    Refusal.OTHER_OWNER: "appartient à un autre utilisateur ; il doit appartenir à celui qui lance cette "
    "commande",
    Refusal.SHARED: "peut être lu ou écrit par le groupe ou d'autres ; retirez-leur ces droits (chmod go= "
    "FICHIER)",
    Refusal.WRITABLE_BY_OTHERS: "peut être écrit par le groupe ou d'autres ; retirez-leur ce droit (chmod "
    "go-w FICHIER)",
    Refusal.TOO_LONG: "est plus long qu'un tel fichier ne peut l'être",
    Refusal.TRUNCATED: "est tronqué ; reprenez-le de la copie faite à la cérémonie",
    Refusal.NOT_A_KEY_FILE: "n'est pas un fichier de clé dans sa forme canonique",
    Refusal.OTHER_VERSION: "a un format de fichier de clé que cette version ne connaît pas",
    Refusal.ALTERED: "a été modifié ou abîmé ; reprenez-le de la copie faite à la cérémonie",
    Refusal.OTHER_PURPOSE: "contient une clé destinée à un autre usage",
    Refusal.TEST_KEY: "contient une clé de TEST, que le mode production refuse",
    Refusal.PARAMETERS_WEAK: "demande des paramètres Argon2id plus faibles que 64 Mio, 3 passes et 4 voies",
    Refusal.PARAMETERS_LARGE: "demande plus de mémoire, de passes ou de voies Argon2id que permis (1 Gio, "
    "16, 16)",
    Refusal.WRONG_PASSPHRASE: "ne s'ouvre pas : la phrase secrète est fausse",
    Refusal.OTHER_FOLDER: "est scellé sous la clé d'ouverture d'un autre dossier",
    Refusal.PASSPHRASE_NEEDED: "est le fichier qu'ouvre une phrase secrète, et aucune n'a été donnée",
    Refusal.EMPTY: "est vide",
    Refusal.PASSPHRASE_SHORT: "contient une phrase secrète de moins de 12 caractères",
    Refusal.PASSPHRASE_FORM: "ne contient pas de phrase secrète : une ligne en UTF-8, d'au plus 1 024 octets",
}
"""After the name of the file."""

TOKENS: Final[Mapping[TokenRefusal, str]] = {
    TokenRefusal.NO_LIBRARY: "python-pkcs11 n'est pas installé ici : installez l'extra « hsm » "
    "(docs/token.md)",
    TokenRefusal.NOT_CONFIGURED: "la clé est dans un jeton et gateway.toml n'en nomme aucun : réglez "
    "keys.token",
    TokenRefusal.MODULE: "le module PKCS#11 ne peut être chargé : voir keys.token.module",
    TokenRefusal.ABSENT: "aucun jeton ne porte le nom keys.token.label : l'appareil est-il branché, son "
    "service tourne-t-il ?",
    TokenRefusal.AMBIGUOUS: "plusieurs jetons portent le nom keys.token.label : donnez à chacun le sien",
    TokenRefusal.PIN_WRONG: "le jeton refuse le PIN de keys.token.pin_file ; ce PIN n'est plus essayé",
    TokenRefusal.PIN_WRONG_BEFORE: "le PIN de keys.token.pin_file a déjà été refusé et n'est plus essayé : "
    "mettez le bon dans le fichier",
    TokenRefusal.PIN_LAST_TRY: "un PIN faux de plus bloquerait le jeton, aucun n'est donc essayé : "
    "connectez-vous une fois à la main avec l'outil du fabricant",
    TokenRefusal.PIN_LOCKED: "le PIN du jeton est bloqué : son responsable de sécurité doit le redéfinir",
    TokenRefusal.PIN_NOT_SET: "le jeton n'a pas encore de PIN : son responsable de sécurité doit le définir",
    TokenRefusal.KEY_ABSENT: "le jeton ne détient pas la clé : c'est un autre jeton, ou il a été "
    "réinitialisé",
    TokenRefusal.KEY_OTHER: "la clé du jeton n'est pas celle que nomment le fichier de clé et la "
    "déclaration de clés",
    TokenRefusal.KEY_CAN_LEAVE: "la clé n'a pas été créée dans le jeton ou peut en sortir, elle n'est donc "
    "pas utilisée",
    TokenRefusal.NO_EDDSA: "le jeton ne sait pas créer de clés Ed25519 (CKM_EC_EDWARDS_KEY_PAIR_GEN, "
    "CKM_EDDSA)",
    TokenRefusal.LATE: "le jeton n'a pas répondu dans le délai keys.token.timeout_s",
    TokenRefusal.FAILED: "le jeton ne répond pas comme il devrait : regardez l'appareil et son service",
    TokenRefusal.FORKED: "le jeton appartient au processus qui l'a ouvert, et celui-ci en est une copie",
}
"""Before what the token's module says itself, which stands in brackets."""
