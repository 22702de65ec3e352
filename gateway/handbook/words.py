"""What the handbook says by itself, in both languages; everything else is the catalogue's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.message.wording import Language, Wording

NARROW_SPACE: Final = "\u202f"
NO_BREAK_SPACE: Final = "\u00a0"

_PLACE: Final = "\0"


@dataclass(frozen=True, slots=True)
class Voice:
    """One language of the handbook.

    Attributes:
        language: Which.
    """

    language: Language

    @property
    def other(self) -> Voice:
        """The other language."""
        return Voice("en" if self.language == "fr" else "fr")

    def say(self, wording: Wording) -> str:
        """Return a statement, set as print in its language."""
        return set_text(wording.text(self.language), self.language)

    def word(self, name: str, **facts: object) -> str:
        """Return one of the handbook's own words or sentences."""
        filled = {key: value if isinstance(value, int) else str(value) for key, value in facts.items()}
        return self.say(WORDS[name].fill(**filled))

    def around(self, name: str, place: str) -> tuple[str, str]:
        """Return what stands before and after one place of a sentence, for an element to stand there."""
        before, _, after = self.word(name, **{place: _PLACE}).partition(_PLACE)
        return before, after

    def title(self, schema: Mapping[str, Any]) -> str:
        """Return the title of a schema document or field."""
        return self._keyword(schema, "title")

    def description(self, schema: Mapping[str, Any]) -> str:
        """Return the description of a schema document or field; empty where it has none."""
        return self._keyword(schema, "description")

    def label(self, labels: Mapping[str, Mapping[str, str]], value: str) -> str:
        """Return what a code means."""
        return set_text(labels[value][self.language], self.language)

    def _keyword(self, schema: Mapping[str, Any], keyword: str) -> str:
        name = f"x-{keyword}-fr" if self.language == "fr" else keyword
        return set_text(str(schema.get(name, "")), self.language)


def set_text(text: str, language: Language) -> str:
    """Set a text as it is printed: French keeps its signs on the line of the word before.

    The files of the catalogue hold plain spaces and straight apostrophes, which are easy to
    type and to compare; here they are made good for reading.
    """
    text = text.replace("'", "’")
    if language == "fr":
        text = re.sub(r" (?=[;?!])", NARROW_SPACE, text)
        text = re.sub(r" (?=[:»])|(?<=«) ", NO_BREAK_SPACE, text)
    return text


WORDS: Final[Mapping[str, Wording]] = {
    "handbook": Wording(en="Message handbook", fr="Guide des messages"),
    "entente": Wording(en="Entente", fr="Entente"),
    "lead": Wording(
        en="What French and American customs tell each other, and how: {types} types of message, "
        "{codes} code lists, {rules:rule|rules}. Made from the catalogue that this installation checks "
        "messages by.",
        fr="Ce que les douanes françaises et américaines se disent, et comment : {types} types de "
        "message, {codes} listes de codes, {rules:règle|règles}. Établi à partir du catalogue d'après "
        "lequel cette installation contrôle les messages.",
    ),
    "search": Wording(
        en="Search types, fields, codes and rules",
        fr="Chercher un type, un champ, un code, une règle",
    ),
    "nothing_found": Wording(en="Nothing matches.", fr="Aucun résultat."),
    "found": Wording(en="found", fr="trouvés"),
    "types": Wording(en="Types", fr="Types"),
    "codes": Wording(en="Code lists", fr="Listes de codes"),
    "blocks": Wording(en="Building blocks", fr="Blocs communs"),
    "header": Wording(en="Header", fr="En-tête"),
    "formats": Wording(en="Forms of values", fr="Formats"),
    "rules": Wording(en="Rules", fr="Règles"),
    "agreement": Wording(en="Agreement", fr="Accord"),
    "skip": Wording(en="To the content", fr="Aller au contenu"),
    "language": Wording(en="Français", fr="English"),
    "purpose": Wording(en="Purpose", fr="Objet"),
    "who": Wording(en="Who to whom", fr="De qui à qui"),
    "agencies_either_way": Wording(en="either way", fr="dans les deux sens"),
    "thread": Wording(en="Its place in a conversation", fr="Sa place dans une conversation"),
    "answers": Wording(en="Answers", fr="Répond à"),
    "answered_by": Wording(en="Answered by", fr="Suites possibles"),
    "opens": Wording(en="Opens a conversation.", fr="Ouvre une conversation."),
    "no_answer": Wording(en="No answer is foreseen.", fr="Aucune suite n'est prévue."),
    "pattern": Wording(en="Pattern", fr="Schéma d'échange"),
    "may_link": Wording(
        en="May name an earlier message as a mere link.",
        fr="Peut renvoyer à un message antérieur.",
    ),
    "deadline": Wording(en="Deadline", fr="Échéance"),
    "awaits": Wording(
        en="The sender waits for an answer and states reply_by. A draft without it gets {times}.",
        fr="L'émetteur attend une réponse et indique reply_by. Un projet sans ce champ reçoit {times}.",
    ),
    "by_field": Wording(en="by {field}: {times}", fr="selon {field} : {times}"),
    "not_after_margin": Wording(
        en="at the latest {margin} before {field}", fr="au plus tard {margin} avant {field}"
    ),
    "not_after": Wording(en="at the latest {field}", fr="au plus tard {field}"),
    "awaits_nothing": Wording(
        en="No deadline: nothing is awaited.",
        fr="Pas d'échéance : aucune réponse n'est due.",
    ),
    "terms": Wording(en="Terms", fr="Conditions"),
    "purposes": Wording(en="Purposes", fr="Finalités"),
    "any_purpose": Wording(en="any", fr="toutes"),
    "same_purpose": Wording(en="that of the message it answers", fr="celle du message auquel il répond"),
    "legal_bases": Wording(en="Legal basis", fr="Base juridique"),
    "any_basis": Wording(en="any that allows a transfer", fr="toute base autorisant la transmission"),
    "one_of": Wording(en="at least one of", fr="au moins l'une de"),
    "personal_data": Wording(en="Personal data", fr="Données personnelles"),
    "pd_forbidden": Wording(en="forbidden", fr="interdites"),
    "pd_none": Wording(
        en="none expected; declared if there is any",
        fr="aucune attendue ; à déclarer le cas échéant",
    ),
    "pd_expected": Wording(en="expected:", fr="attendues :"),
    "pd_same": Wording(en="as in the message it is about", fr="comme dans le message visé"),
    "retention": Wording(en="Retention", fr="Conservation"),
    "days": Wording(en="{days:day|days} at most", fr="{days:jour|jours} au plus"),
    "limit": Wording(en="Limit", fr="Limite"),
    "a_day": Wording(
        en="{count:message|messages} an agency and UTC day; what is over it is refused at both nodes "
        "(RF-QUOTA)",
        fr="{count:message|messages} par service et par jour UTC ; au-delà, refus aux deux nœuds (RF-QUOTA)",
    ),
    "evaluation": Wording(en="Evaluation", fr="Cotation"),
    "eval_required": Wording(
        en="of source and information, required",
        fr="de la source et de l'information, exigée",
    ),
    "eval_optional": Wording(en="optional", fr="facultative"),
    "precedence": Wording(en="Precedence", fr="Urgence"),
    "flash_yes": Wording(en="up to FLASH", fr="jusqu'à FLASH"),
    "flash_no": Wording(
        en="up to IMMEDIATE; FLASH only in reply to FLASH",
        fr="jusqu'à IMMEDIATE ; FLASH seulement en réponse à FLASH",
    ),
    "fields": Wording(en="Fields", fr="Champs"),
    "fields_lead": Wording(
        en="The payload. Every message also has the {header}.",
        fr="Le contenu (payload). Tout message porte aussi l'{header}.",
    ),
    "common_header": Wording(en="common header", fr="en-tête commun"),
    "field": Wording(en="Field", fr="Champ"),
    "form": Wording(en="Form", fr="Forme"),
    "meaning": Wording(en="Meaning", fr="Sens"),
    "required": Wording(en="required", fr="obligatoire"),
    "at_times": Wording(en="required in some cases", fr="obligatoire selon le cas"),
    "optional": Wording(en="optional", fr="facultatif"),
    "sample": Wording(en="such as", fr="par exemple"),
    "text_up_to": Wording(en="text, up to {count} characters", fr="texte, {count} caractères au plus"),
    "integer_from": Wording(en="integer, {low} to {high}", fr="entier, de {low} à {high}"),
    "true_or_false": Wording(en="true or false", fr="true ou false"),
    "always": Wording(en="always {value}", fr="toujours {value}"),
    "of_the_form": Wording(en="text of the form {form}", fr="texte de la forme {form}"),
    "list_of": Wording(en="list of {low} to {high}:", fr="liste de {low} à {high} :"),
    "list_of_different": Wording(
        en="list of {low} to {high}, no repeats:", fr="liste de {low} à {high}, sans répétition :"
    ),
    "type_rules": Wording(en="Rules that apply", fr="Règles applicables"),
    "general_rules": Wording(
        en="Besides these, {rules} hold for every message.",
        fr="S'y ajoutent {rules}, valables pour tout message.",
    ),
    "rules_of_every_message": Wording(en="{count:rule|rules}", fr="{count:règle|règles}"),
    "no_own_rules": Wording(en="None of its own.", fr="Aucune en propre."),
    "example": Wording(en="Example", fr="Exemple"),
    "example_note": Wording(
        en="Invented, and made of specimen data. For a draft to fill in: {command}",
        fr="Inventé de toutes pièces, avec des données fictives. Pour un projet à remplir : {command}",
    ),
    "defanged": Wording(
        en="Web addresses are shown defanged, so that nothing opens them by accident: where this page says "
        "hxxps://host[.]example, a message says the address itself. The node never changes a message.",
        fr="Les adresses web sont affichées désamorcées, afin que rien ne les ouvre par mégarde : là où "
        "cette page indique hxxps://hôte[.]example, un message porte l'adresse elle-même. Le nœud ne "
        "modifie jamais un message.",
    ),
    "whole_message": Wording(
        en="The whole message, with its header",
        fr="Le message entier, avec son en-tête",
    ),
    "used_by": Wording(en="Used by", fr="Employé par"),
    "unused": Wording(en="nothing", fr="rien"),
    "code": Wording(en="Code", fr="Code"),
    "applies_to": Wording(en="Applies to", fr="S'applique à"),
    "every_message": Wording(en="every message", fr="tout message"),
    "reply_types": Wording(en="answers", fr="les réponses"),
    "points_at": Wording(en="Points at", fr="Désigne"),
    "number": Wording(en="No.", fr="Nº"),
    "stateful": Wording(en="needs the conversation", fr="dépend de la conversation"),
    "rules_lead": Wording(
        en="What no schema can express. A refusal names rule and field and never repeats a value; it "
        "names every broken rule at once.",
        fr="Ce qu'aucun schéma ne peut exprimer. Un refus nomme la règle et le champ sans jamais "
        "répéter une valeur ; il nomme d'un coup toutes les règles enfreintes.",
    ),
    "codes_lead": Wording(
        en="Codes travel as they stand here, in capitals; labels are for readers.",
        fr="Les codes circulent tels quels, en capitales ; les libellés sont pour le lecteur.",
    ),
    "blocks_lead": Wording(
        en="Objects that several types are made of. Rules follow them wherever they stand.",
        fr="Objets dont plusieurs types sont composés. Les règles les suivent partout.",
    ),
    "formats_lead": Wording(
        en="How single values are written. Check digits and code tables are the rules' business.",
        fr="La façon d'écrire une valeur. Clés de contrôle et tables de codes relèvent des règles.",
    ),
    "header_lead": Wording(
        en="The same for every type. In a draft the node fills in whatever follows from certificate, "
        "clock, agreement and conversation.",
        fr="Le même pour tous les types. Dans un projet, le nœud remplit ce qui découle du "
        "certificat, de l'horloge, de l'accord et de la conversation.",
    ),
    "agreement_lead": Wording(
        en="What the two nations agreed on beside the types: signed with them, and part of every digest.",
        fr="Ce dont les deux pays sont convenus en plus des types ; compris dans chaque empreinte.",
    ),
    "agencies": Wording(en="Agencies", fr="Services"),
    "levels": Wording(en="Markings and their equivalents", fr="Mentions de protection et équivalences"),
    "level": Wording(en="Level", fr="Niveau"),
    "equals": Wording(en="Equals", fr="Équivaut à"),
    "above_ceiling": Wording(en="above what this link may carry", fr="au-dessus du plafond de la liaison"),
    "precedences": Wording(en="Precedences", fr="Degrés d'urgence"),
    "deliver": Wording(en="From node to node", fr="De nœud à nœud"),
    "first_answer": Wording(en="First human answer", fr="Première réponse d'un agent"),
    "lives": Wording(en="Delivered within, else expired", fr="Remis dans ce délai, sinon expiré"),
    "minutes": Wording(en="{count} min", fr="{count} min"),
    "hours": Wording(en="{count} h", fr="{count} h"),
    "whole_days": Wording(en="{count} d", fr="{count} j"),
    "digest": Wording(en="Catalogue", fr="Catalogue"),
    "type_digest": Wording(en="Digest of the type (SHA-384)", fr="Empreinte du type (SHA-384)"),
    "area_other": Wording(en="Other", fr="Autres"),
}
