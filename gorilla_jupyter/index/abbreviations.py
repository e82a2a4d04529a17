"""Abbreviations of the field, which people write, and what they stand for, which documents say."""

from __future__ import annotations

import re
from collections.abc import Mapping

ABBREVIATIONS: Mapping[str, str] = dict(
    line.strip().split(": ", 1)
    for line in """
    absa: aspect based sentiment analysis
    aqg: automatic question generation
    asr: automatic speech recognition
    ASV: automatic speaker verification
    bi-encoder: sentence embedding
    biencoder: sentence embedding
    bioner: biomedical named entity recognition
    BSS: blind source separation
    cbir: content based image retrieval
    clir: cross-lingual information retrieval
    CLM: causal language modeling text generation
    cws: chinese word segmentation
    de-id: de-identification of personal information
    deid: de-identification of personal information
    depth2img: depth conditioned image to image
    dereverb: speech dereverberation and enhancement
    diarisation: speaker diarization
    diarise: speaker diarization
    diarization: speaker diarization
    diarize: speaker diarization
    docqa: document question answering
    docvqa: document visual question answering
    drl: deep reinforcement learning
    FER: facial expression recognition
    fgvc: fine-grained visual classification
    FIM: fill in the middle code completion
    gec: grammatical error correction
    HPE: human pose estimation
    htr: handwritten text recognition
    i2i: image to image
    i2t: image to text
    i2v: image to video
    image2image: image to image
    image2text: image to text
    image2video: image to video
    img2img: image to image
    img2text: image to text
    img2txt: image to text
    img2vid: image to video
    inpaint: image inpainting
    instance seg: instance segmentation
    instseg: instance segmentation
    ITM: image text matching
    KIE: key information extraction from documents
    KPE: keyphrase extraction
    kpts: body keypoints pose detection
    KWS: keyword spotting
    llm: large language model
    LTSF: long term time series forecasting
    lvcsr: large vocabulary continuous speech recognition
    lvlm: large vision language model
    MDE: monocular depth estimation
    mlff: machine learning force field
    mlip: machine learning interatomic potential
    mllm: multimodal large language model
    MLM: masked language modeling
    MT: machine translation
    ner: named entity recognition
    nl2code: code generation
    nl2sql: natural language to sql query generation
    NLG: natural language generation
    nli: natural language inference
    nmt: neural machine translation
    nsfw: not safe for work content detection
    NST: neural style transfer
    obb: oriented bounding box object detection
    objdet: object detection
    ocr: optical character recognition
    optflow: optical flow
    outpaint: image outpainting
    ovd: open vocabulary object detection
    ovod: open vocabulary object detection
    panseg: panoptic segmentation
    pdf2md: document page to markdown text recognition
    pii: personally identifiable information detection
    pos tagging: part of speech tagging
    pos tags: part of speech tagging
    postag: part of speech tagging
    QA: question answering
    qag: question and answer generation
    QG: question generation
    relex: relation extraction
    RL: reinforcement learning
    s2st: speech to speech translation
    s2t: speech to text
    s2tt: speech to text translation
    semseg: semantic segmentation
    seq2seq: text to text generation
    SER: speech emotion recognition
    sisr: single image super resolution
    sketch2img: sketch to image
    SR: super resolution
    sts: semantic textual similarity
    stt: speech to text
    superres: super resolution
    t2i: text to image
    t2v: text to video
    tableqa: table question answering
    text2code: code generation
    text2image: text to image
    text2img: text to image
    text2music: text to music generation
    text2speech: text to speech
    text2sql: text to sql query generation
    text2text: text to text generation
    text2video: text to video
    tldr: summarization
    TSF: time series forecasting
    tts: text to speech
    txt2img: text to image
    txt2vid: text to video
    upos: universal part of speech tagging
    upscaler: super resolution
    vad: voice activity detection
    vfi: video frame interpolation
    videoqa: video question answering
    vlm: vision language model
    vqa: visual question answering
    wakeword: wake word keyword spotting
    wordvec: word vector embedding
    wordvecs: word vector embedding
    ZSL: zero-shot classification
    zsod: zero-shot object detection
    """.strip().splitlines()
)
"""What is written in capitals here is no abbreviation, or another one, in small letters."""

_IN_ANY_CASE = "|".join(re.escape(short) for short in ABBREVIATIONS if not short.isupper())
_IN_CAPITALS = "|".join(short for short in ABBREVIATIONS if short.isupper())
# Not in names such as facebook/s2t-small, of which they are part, nor where code names a value.
_ABBREVIATION = re.compile(
    rf"(?<![\w/.*-])((?i:{_IN_ANY_CASE})|{_IN_CAPITALS})(s?)(?![\w/=-]|\.\w)",
)


def spelled_out(text: str) -> str:
    """The text, with what its abbreviations stand for after each."""

    def both(found: re.Match[str]) -> str:
        short = found[1]
        long = ABBREVIATIONS.get(short) or ABBREVIATIONS[short.lower()]
        return found[0] if long in text.lower() else f"{found[0]} ({long})"

    return _ABBREVIATION.sub(both, text)
