"""The figures of a period as one HTML file: no script, no network, made to be printed.

Whatever comes from a log is escaped. Charts are drawings in the file itself, in which every
bar carries its name and number as text.

Spec: docs/auditing.md, "A report for people".
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from gateway.audit.figures import MAX_LISTED, Figures, Listed
from gateway.audit.overdue import Due, Fate
from gateway.audit.report import LogReport, time_text
from gateway.core.audit_events import EVENTS

_BAR: Final = 420
_ROW: Final = 22
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1a1a1a;background:#fff}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #bbb}
table{border-collapse:collapse;margin:.5rem 0}th,td{text-align:left;
padding:.15rem .9rem .15rem 0;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}td.w{word-break:break-all;min-width:12rem}pre{white-space:pre-wrap}
.good{color:#0a5c2b}.bad{color:#9b1c1c;font-weight:bold}.verdict{font-size:1.1rem;font-weight:bold}
svg text{font:13px system-ui,sans-serif;fill:#1a1a1a}svg rect{fill:#2b5c8a}
code,pre{font:13px ui-monospace,monospace}
@media print{body{margin:0;max-width:none}h2,h3{break-after:avoid}tr,svg{break-inside:avoid}}
"""

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load for this page: nothing, but the style in it."""

_WORDS: Final = {
    "title": ("What was exchanged", "Ce qui a été échangé"),
    "period": ("Period (UTC): {from_} to before {until}", "Période (UTC) : {from_} à avant {until}"),
    "verified": ("VERIFIED", "VÉRIFIÉ"),
    "not_verified": ("NOT VERIFIED", "NON VÉRIFIÉ"),
    "all_held": (
        "Every log below is as it was signed; the figures are counted from its entries.",
        (
            "Chaque journal ci-dessous est tel qu'il a été signé ; les chiffres sont comptés sur ses "
            "inscriptions."
        ),
    ),
    "not_held": (
        "At least one log is not as it was signed. Do not rely on these figures.",
        "Au moins un journal n'est pas tel qu'il a été signé. Ne vous fiez pas à ces chiffres.",
    ),
    "overview": ("Overview", "Vue d'ensemble"),
    "messages": ("messages sent", "messages envoyés"),
    "received": ("received by the other nation", "reçus par l'autre nation"),
    "refused": ("refused by the other nation", "refusés par l'autre nation"),
    "refused_home": ("refused by the own node before sending", "refusés par le nœud d'origine avant envoi"),
    "collected": ("collections by addressees", "retraits par les destinataires"),
    "disclosed": ("contents disclosed as evidence", "contenus divulgués comme preuve"),
    "erased": ("contents erased", "contenus effacés"),
    "unlisted": ("further items, counted but not listed", "autres éléments, comptés sans être listés"),
    "wait": ("Time until the other nation decided", "Délai de décision de l'autre nation"),
    "half": ("half of the messages within", "la moitié des messages en moins de"),
    "most": ("95 of 100 messages within", "95 messages sur 100 en moins de"),
    "longest": ("the longest", "le plus long"),
    "by_day": ("Messages by day", "Messages par jour"),
    "by_log": ("Messages by direction", "Messages par sens"),
    "by_type": ("Messages by type", "Messages par type"),
    "by_agency": ("Messages by agency", "Messages par service"),
    "by_precedence": ("Messages by precedence", "Messages par précédence"),
    "by_refusal": (
        "Refusals by the other nation, by code and rule",
        "Refus de l'autre nation, par code et règle",
    ),
    "by_home_refusal": ("Refusals before sending, by code and rule", "Refus avant envoi, par code et règle"),
    "by_collector": ("Collections by agency", "Retraits par service"),
    "incidents": ("Incidents", "Incidents"),
    "operators": ("What operators did", "Actes des exploitants"),
    "keys": ("Key changes", "Changements de clés"),
    "changes": ("What changed at the nodes", "Changements aux nœuds"),
    "logins": ("Certificates let in, by role", "Certificats admis, par rôle"),
    "denied": ("Access denied, by cause", "Accès refusés, par motif"),
    "none": ("None.", "Aucun."),
    "time": ("time", "heure"),
    "place": ("log and index", "journal et rang"),
    "what": ("what", "quoi"),
    "due": ("Replies that were due", "Réponses attendues"),
    "in-time": ("answered in time", "ont reçu réponse dans le délai"),
    "late": ("answered late", "ont reçu réponse en retard"),
    "absent": ("overdue: no answer in the logs", "en retard : aucune réponse dans les journaux"),
    "not-due": ("not due yet when the logs were signed", "pas encore échues à la signature des journaux"),
    "cancelled": ("cancelled by those who asked", "annulées par le demandeur"),
    "unknown": (
        "unknown: the other nation's log, or the terms of that time, are not at hand",
        "indéterminé : le journal de l'autre nation ou les délais d'alors manquent",
    ),
    "due_text": (
        (
            "Times are those of the agreement for the type and precedence of each request; where they "
            "depend on the content, the longest. An agency may have asked for another time in its message, "
            "which no log shows. An answer is the first message of the other nation in the same "
            "conversation whose type answers the request."
        ),
        (
            "Les délais sont ceux de l'accord pour le type et la précédence de chaque demande ; s'ils "
            "dépendent du contenu, le plus long. Un service a pu demander un autre délai dans son "
            "message, qu'aucun journal ne montre. Une réponse est le premier message de l'autre "
            "nation, dans la même conversation, dont le type répond à la demande."
        ),
    ),
    "late_list": ("Late or absent replies", "Réponses tardives ou absentes"),
    "asked_by": ("asked by", "demandé par"),
    "due_at": ("due", "échéance"),
    "answered": ("answered", "réponse"),
    "no_answer": ("none", "aucune"),
    "cosigned_by": ("cosigned by", "cosigné par"),
    "checked": ("What was verified", "Ce qui a été vérifié"),
    "log": ("log", "journal"),
    "size": ("entries", "inscriptions"),
    "root": ("root", "racine"),
    "signed": ("signed", "signé"),
    "result": ("result", "résultat"),
    "repeat": ("How to repeat it without us", "Comment le refaire sans nous"),
    "repeat_text": (
        (
            "The logs are folders in the public format C2SP tlog-tiles. Any program for RFC 6962 "
            "trees leads from their entries to the roots above; any program for Ed25519 and ML-DSA-87"
            " verifies the notes in the files named checkpoint. With our own software:"
        ),
        (
            "Les journaux sont des dossiers au format public C2SP tlog-tiles. Tout programme pour les"
            " arbres RFC 6962 mène de leurs inscriptions aux racines ci-dessus ; tout programme pour "
            "Ed25519 et ML-DSA-87 vérifie les notes des fichiers checkpoint. Avec notre logiciel :"
        ),
    ),
    "limits": ("What this report does not show", "Ce que ce rapport ne montre pas"),
    "limits_text": (
        (
            "Contents of messages are not in the logs, nor are deadlines that agencies set themselves. "
            "Entries of incidents and key statements state no time: all that the logs hold are "
            "listed. Whether anything was withheld is seen by reconciling both nations' exports."
        ),
        (
            "Ni le contenu des messages ni les échéances fixées par les services eux-mêmes ne sont "
            "dans les journaux. Les inscriptions d'incidents et de déclarations de "
            "clés ne portent pas d'heure : toutes sont listées. Le rapprochement des exports des deux"
            " nations montre si quelque chose a été retenu."
        ),
    ),
}


def render_html(figures: Figures, *, language: str) -> str:
    """Return the report as one HTML file.

    Args:
        figures: What was counted.
        language: ``fr`` or ``en``.
    """
    return "".join(_Page(figures, 1 if language == "fr" else 0, language).parts())


class _Page:
    """One page in one language."""

    def __init__(self, figures: Figures, place: int, language: str) -> None:
        self._figures = figures
        self._place = place
        self._language = "fr" if language == "fr" else "en"

    def parts(self) -> Iterator[str]:
        figures = self._figures
        good = bool(figures.logs) and all(log.is_verified for log in figures.logs)
        period = self._say("period").format(
            from_=time_text(figures.period.from_ms // 1_000),
            until=time_text(figures.period.until_ms // 1_000),
        )
        verdict = f'<p class="verdict {"good" if good else "bad"}">'
        yield (
            f'<!doctype html><html lang="{self._language}"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            f"<title>{self._say('title')}</title><style>{_STYLE}</style></head><body>"
            f"<h1>{self._say('title')}</h1><p>{escape(period)}</p>"
            f"{verdict}{self._say('verified' if good else 'not_verified')}</p>"
            f"<p>{self._say('all_held' if good else 'not_held')}</p>"
        )
        yield from self._overview()
        for name, counter in (
            ("by_day", dict(sorted(figures.by_day.items()))),
            ("by_log", figures.by_log),
            ("by_type", _largest(figures.by_type)),
            ("by_agency", _largest(figures.by_agency)),
            ("by_precedence", figures.by_precedence),
            ("by_refusal", _largest(figures.refused)),
            ("by_home_refusal", _largest(figures.refused_at_home)),
            ("by_collector", _largest(figures.collected)),
            ("logins", _largest(figures.logins)),
            ("denied", _largest(figures.denied)),
        ):
            yield f"<h2>{self._say(name)}</h2>{self._chart(counter)}"
        yield from self._replies()
        for name, items in (
            ("incidents", figures.incidents),
            ("operators", figures.operators),
            ("keys", figures.keys),
            ("changes", figures.changes),
        ):
            yield f"<h2>{self._say(name)}</h2>{self._list(items)}"
        yield from self._verified()
        yield f"<h2>{self._say('limits')}</h2><p>{self._say('limits_text')}</p></body></html>\n"

    def _overview(self) -> Iterator[str]:
        figures = self._figures
        rows = [
            ("messages", sum(figures.by_log.values())),
            ("received", sum(figures.received.values())),
            ("refused", sum(figures.refused.values())),
            ("refused_home", sum(figures.refused_at_home.values())),
            ("collected", sum(figures.collected.values())),
            ("disclosed", figures.disclosed),
            ("erased", figures.erased),
        ]
        unlisted = figures.unlisted + figures.replies.unfollowed
        rows += [("unlisted", unlisted)] if unlisted else []
        body = "".join(
            f'<tr><td class="n">{self._number(n)}</td><td>{self._say(name)}</td></tr>' for name, n in rows
        )
        yield f"<h2>{self._say('overview')}</h2><table>{body}</table>"
        waits = [
            ("half", figures.wait_ms(0.5)),
            ("most", figures.wait_ms(0.95)),
            ("longest", figures.wait_ms(1.0)),
        ]
        yield f"<h2>{self._say('wait')}</h2>"
        if waits[0][1] is None:
            yield f"<p>{self._say('none')}</p>"
            return
        body = "".join(
            f'<tr><td>{self._say(name)}</td><td class="n">{self._seconds(ms)}</td></tr>' for name, ms in waits
        )
        yield f"<table>{body}</table>"

    def _replies(self) -> Iterator[str]:
        due = self._figures.replies.conclude()
        yield f"<h2>{self._say('due')}</h2>"
        if not due:
            yield f"<p>{self._say('none')}</p>"
            return
        counts = Counter(item.fate for item in due)
        body = "".join(
            f'<tr><td class="n">{self._number(counts[fate])}</td><td>{self._say(fate)}</td></tr>'
            for fate in Fate
            if counts[fate] or fate in {Fate.IN_TIME, Fate.LATE, Fate.ABSENT}
        )
        yield f"<table>{body}</table><p>{self._say('due_text')}</p>"
        missed = [item for item in due if item.fate in {Fate.LATE, Fate.ABSENT}]
        if not missed:
            return
        head = "".join(
            f"<th>{self._say(name)}</th>" for name in ("due_at", "answered", "what", "asked_by", "place")
        )
        body = "".join(map(self._missed, missed[:MAX_LISTED]))
        more = len(missed) - MAX_LISTED
        rest = f"<p>{self._number(more)} {self._say('unlisted')}</p>" if more > 0 else ""
        yield f"<h3>{self._say('late_list')}</h3><table><tr>{head}</tr>{body}</table>{rest}"

    def _missed(self, item: Due) -> str:
        due = "" if item.due_ms is None else time_text(item.due_ms // 1_000)
        answered = item.answered_ms
        said = self._say("no_answer") if answered is None else time_text(answered // 1_000)
        return (
            f'<tr><td>{due}</td><td class="{"bad" if answered is None else ""}">{said}</td>'
            f"<td>{escape(_plain(item.type))}</td><td>{escape(_plain(item.agency))}</td>"
            f"<td>{escape(_plain(item.origin))} {item.index}</td></tr>"
        )

    def _chart(self, counts: Mapping[str, int]) -> str:
        """Return bars with their numbers; a printer and a screen reader both read them."""
        if not counts:
            return f"<p>{self._say('none')}</p>"
        most = max(counts.values())
        height = _ROW * len(counts)
        rows = []
        for place, (name, count) in enumerate(counts.items()):
            y = place * _ROW
            width = max(1, count * _BAR // most)
            rows.append(
                f'<text x="230" y="{y + 16}" text-anchor="end">{escape(_short(name))}</text>'
                f'<rect x="240" y="{y + 3}" width="{width}" height="{_ROW - 6}"></rect>'
                f'<text x="{248 + width}" y="{y + 16}">{self._number(count)}</text>'
            )
        return f'<svg viewBox="0 0 760 {height}" width="760" height="{height}">{"".join(rows)}</svg>'

    def _list(self, items: Sequence[Listed]) -> str:
        if not items:
            return f"<p>{self._say('none')}</p>"
        head = "".join(f"<th>{self._say(name)}</th>" for name in ("time", "place", "what"))
        body = "".join(
            f"<tr><td>{'' if item.at_ms is None else time_text(item.at_ms // 1_000)}</td>"
            f"<td>{escape(_plain(item.origin))} {item.index}</td>"
            f"<td>{escape(_plain(item.what))}{self._words(item.what)}</td></tr>"
            for item in items
        )
        return f"<table><tr>{head}</tr>{body}</table>"

    def _words(self, what: str) -> str:
        """Return what the name of an event means; nothing for what is none."""
        words = EVENTS.get(what.partition(" ")[0])
        return "" if words is None else f" ({escape(words.text('fr' if self._place else 'en'))})"

    def _verified(self) -> Iterator[str]:
        head = "".join(
            f"<th>{self._say(name)}</th>"
            for name in ("log", "size", "root", "signed", "cosigned_by", "result")
        )
        body = "".join(self._log(log) for log in self._figures.logs)
        yield (
            f"<h2>{self._say('checked')}</h2><table><tr>{head}</tr>{body}</table>"
            f"<h2>{self._say('repeat')}</h2><p>{self._say('repeat_text')}</p>"
            f"<pre>entente audit verify DIR… --trust KEYS</pre>"
        )

    def _log(self, log: LogReport) -> str:
        checkpoint = log.checkpoint
        size = "" if checkpoint is None else self._number(checkpoint.size)
        root = "" if checkpoint is None else b64encode(checkpoint.root).decode()
        signed = "" if log.signed_s is None else time_text(log.signed_s)
        cosigned = ", ".join(escape(_plain(item.name)) for item in log.cosigned)
        word = self._say("verified" if log.is_verified else "not_verified")
        reason = "" if log.reason is None else f": {escape(_plain(log.reason))}"
        return (
            f'<tr><td>{escape(_plain(log.title))}</td><td class="n">{size}</td>'
            f'<td class="w"><code>{root}</code></td>'
            f"<td>{signed}</td><td>{cosigned}</td>"
            f'<td class="{"good" if log.is_verified else "bad"}">{word}{reason}</td></tr>'
        )

    def _say(self, name: str) -> str:
        return escape(_WORDS[name][self._place], quote=False)

    def _seconds(self, milliseconds: int | None) -> str:
        if milliseconds is None:
            return ""
        seconds = milliseconds / 1_000
        if seconds < 120:
            text = f"{seconds:.3g} s"
        else:
            text = f"{seconds / 60:.1f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
        return text.replace(".", ",") if self._place else text

    def _number(self, number: int) -> str:
        return f"{number:,}".replace(",", "\u202f" if self._place else ",")


def _largest(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts, the largest first, at most 40 of them."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:40])


def _plain(text: str) -> str:
    """Return a text from a log without control characters and without what turns writing around."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


def _short(name: str) -> str:
    plain = _plain(name)
    return plain if len(plain) <= 34 else f"{plain[:33]}…"
