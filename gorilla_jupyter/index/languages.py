"""The languages that people speak: what is made for some of them is of no use for the others."""

from __future__ import annotations

LANGUAGES = frozenset(
    """afrikaans albanian amharic arabic armenian assamese azerbaijani basque belarusian bengali
    bosnian breton bulgarian burmese cantonese catalan cebuano chinese croatian czech danish dutch
    esperanto estonian faroese farsi filipino finnish flemish french frisian galician georgian
    german greek guarani gujarati haitian hausa hawaiian hebrew hindi hmong hungarian icelandic igbo
    indonesian irish italian japanese javanese kannada kazakh khmer kinyarwanda korean kurdish
    kyrgyz lao latvian lingala lithuanian luxembourgish macedonian malagasy malay malayalam maltese
    mandarin maori marathi mongolian nepali norwegian occitan odia pashto persian polish portuguese
    punjabi quechua romanian russian sanskrit serbian sindhi sinhala slovak slovenian somali spanish
    sundanese swahili swedish tagalog tajik tamil tatar telugu thai tibetan tigrinya tswana turkish
    turkmen ukrainian urdu uyghur uzbek vietnamese welsh wolof xhosa yiddish yoruba zulu""".split()
)
"""Names of languages in English, but for English, which documents do not mention."""

MANY = 4
"""A document that names so many languages is made for all of them."""
