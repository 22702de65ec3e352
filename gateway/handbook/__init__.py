"""The handbook: the catalogue as pages that officers and developers of both nations read.

Everything in it is read from the catalogue and the rules, so that it says what the node
does: a page a type, code lists, building blocks, forms of values, rules and the agreement,
in English and French, each linked to what it speaks of and to what speaks of it. The pages
are static and ask nothing of anyone: one style sheet and one small script for the search,
both from here, and they read well without the script.

`book` puts it together; `entente schema docs` writes it, and the agency port serves it
below ``/docs/``.
"""

from gateway.handbook.book import CONTENT_SECURITY_POLICY, FIRST_PAGE, Handbook, Page

__all__ = ["CONTENT_SECURITY_POLICY", "FIRST_PAGE", "Handbook", "Page"]
