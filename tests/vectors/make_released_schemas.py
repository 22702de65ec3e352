"""Makes released_schemas.json: what the schemas of a release demand, place by place.

Run it when a release is made, and never to make a failing test pass: the file stands for the
messages that are out there. A change that it does not allow is a new major version of the type.

Run: ``.venv/bin/python tests/vectors/make_released_schemas.py``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.schema_shape import read_schemas, shape_of  # noqa: E402 - found through the line above


def main() -> None:
    """Write the file."""
    folder = HERE.parents[1] / "schemas"
    agreement = json.loads((folder / "agreement.json").read_bytes())
    document = {
        "source": "tests/vectors/make_released_schemas.py",
        "what": "first 12 hexadecimal digits of SHA-256 over the demands of each place, by file",
        "schema_version": agreement["schema_version"],
        "files": shape_of(read_schemas(folder)),
    }
    (HERE / "released_schemas.json").write_text(
        json.dumps(document, indent=0, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
