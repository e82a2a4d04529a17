"""Twenty records that would take over a page that trusted them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ATTACKS = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    "<svg onload='window.pwned = 3'></svg>",
    "[click](javascript:window.pwned=4)",
    "<a href='javascript:window.pwned=5'>click</a>",
    "</style><script>window.pwned = 6</script>",
    "</script><script>window.pwned = 7</script>",
    "<iframe srcdoc='<script>parent.pwned = 8</script>'></iframe>",
    "<body onload='window.pwned = 9'>",
    "<style>body { display: none !important }</style>",
    "```\n<script>window.pwned = 11</script>\n```",
    "`````\n</code></pre><img src=x onerror='window.pwned = 12'>",
    "![remote](http://192.0.2.1/picture.png)",
    "<form action='javascript:window.pwned=14'><button autofocus>go</button></form>",
    "<details open ontoggle='window.pwned = 15'>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror='window.pwned=16'></style></math>",
    '"><img src=x onerror="window.pwned = 17">',
    "{{constructor.constructor('window.pwned = 18')()}}",
    "<input autofocus onfocus='window.pwned = 19'>",
    "$$\\href{javascript:window.pwned=20}{x}$$",
)


def record(number: int) -> dict[str, Any]:
    """The record that has this attack in every field that takes text."""
    attack = ATTACKS[number]
    return {
        "domain": f"Hostility {attack}",
        "framework": f"Hostile {attack}",
        "functionality": f"Hostile record {number} {attack}",
        "api_name": f"hostile_{number} {attack}",
        "api_call": f"hostile_{number}(text={attack!r})",
        "api_arguments": {attack: {"type": attack, "default": attack, "description": attack}},
        "python_environment_requirements": ["hostile", attack],
        "example_code": f"from hostile import hostile_{number}\nhostile_{number}(text={attack!r})",
        "performance": {attack: attack},
        "description": f"A hostile record. {attack}",
        "api_version": attack,
    }


def write_catalog(home: Path) -> None:
    """Give the user of this folder a catalog of all of them."""
    catalogs = home / "catalogs"
    catalogs.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record(number)) + "\n" for number in range(len(ATTACKS)))
    (catalogs / "hostile.jsonl").write_text("".join(lines))
