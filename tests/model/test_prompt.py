"""What a model is asked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gorilla_jupyter.answer import Document
from gorilla_jupyter.model.prompt import DOCUMENTS, Prompt, PromptError, fit, form_of, readable
from tests.model.conftest import CHOIR, VOICE

PROMPT = Prompt("speak {German} %s", (Document(VOICE, 2.0), Document(CHOIR, 1.0)))


def text(prompt: Prompt) -> str:
    return "\n".join(message["content"] for message in prompt.messages())


def length(prompt: Prompt) -> int:
    return len(text(prompt))


def test_it_holds_the_sentence_the_calls_and_the_arguments_that_may_be_added() -> None:
    assert PROMPT.sentence in text(PROMPT)
    assert f"api_call: {VOICE.api_call}\noptional arguments: device: int | str" in text(PROMPT)


def test_the_form_is_gorillas_or_a_json_object() -> None:
    assert "<<<api_call>>>:" in PROMPT.messages()[-1]["content"]
    (message,) = PROMPT.messages(as_json=True)
    assert "<<<" not in message["content"]
    assert "JSON object" in message["content"]


def test_without_documents_a_model_is_asked_for_what_it_knows() -> None:
    asked = text(replace(PROMPT, documents=()))
    assert PROMPT.sentence in asked
    assert "API 1" not in asked
    assert "documentation" not in asked


def test_what_was_wrong_is_said_after_what_was_written() -> None:
    again = replace(PROMPT, written="reboot()", fault="That is not documented.")
    roles = [message["role"] for message in again.messages()]
    assert roles == ["user", "assistant", "user"]
    assert again.messages()[1]["content"] == "reboot()"


def test_all_documents_stay_where_there_is_room() -> None:
    assert fit(PROMPT, length, length(PROMPT)) == PROMPT


def test_the_last_document_is_dropped_whole() -> None:
    assert fit(PROMPT, length, length(PROMPT) - 1) == replace(
        PROMPT, documents=PROMPT.documents[:1]
    )


def test_the_only_documents_description_is_cut_in_need() -> None:
    one = replace(PROMPT, documents=PROMPT.documents[:1])
    cut = fit(one, length, length(one) - 1)
    assert cut.documents == one.documents
    assert VOICE.description not in text(cut)
    assert VOICE.api_call in text(cut)


def test_a_sentence_without_room_is_refused() -> None:
    with pytest.raises(PromptError, match="too long for this model"):
        fit(PROMPT, length, 100)


def test_documents_without_a_call_and_those_far_behind_are_not_read() -> None:
    broken = Document(replace(VOICE, api_call="not Python ("), 3.0)
    documents = [broken, *[PROMPT.documents[0]] * 10]
    assert readable(documents) == (PROMPT.documents[0],) * DOCUMENTS


# The forms of the published models, after their model cards


def test_gorilla_7b_is_asked_without_documents() -> None:
    form = form_of("gorilla-llm/gorilla-7b-hf-v1", None, {"bos_token": "<s>"})
    written = form.text(PROMPT)
    assert written.startswith("<s>A chat between a curious user and an artificial intelligence")
    assert written.endswith(f"\nUSER: {PROMPT.sentence}\nASSISTANT:")
    assert VOICE.api_name not in written


def test_openfunctions_reads_functions_as_json() -> None:
    form = form_of("gorilla-llm/gorilla-openfunctions-v2", "ignored", {})
    written = form.text(replace(PROMPT, fault="That is not documented."))
    _, _, rest = written.partition("### Instruction: <<function>>")
    functions, _, rest = rest.partition("\n<<question>>")
    assert [function["name"] for function in json.loads(functions)] == ["pipeline", "pipeline"]
    assert json.loads(functions)[0]["parameters"][0]["name"] == "device"
    assert rest == f"{PROMPT.sentence}\nThat is not documented.\n### Response: "


def test_any_other_model_is_asked_with_its_chat_template() -> None:
    template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    form = form_of("acme/chat", template, {"bos_token": "<s>"})
    assert form.text(PROMPT) == f"<s>[user]{PROMPT.messages()[0]['content']}"


def test_a_template_may_use_what_transformers_gives_it() -> None:
    template = "{% generation %}{{ strftime_now('%Y')[:2] }}{% endgeneration %}{{ '<é' | tojson }}"
    assert form_of("acme/chat", template, {}).text(PROMPT) == '20"<é"'


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('No.') }}", "{{ missing.field }}", "{{ 1 / 0 }}"]
)
def test_a_template_that_refuses_the_question_is_told_of(template: str) -> None:
    form = form_of("acme/chat", template, {})
    with pytest.raises(PromptError, match=r"chat template refuses the question: \S"):
        form.text(PROMPT)


@pytest.mark.parametrize("template", [None, "", "{% for %}", "{{ oops"])
def test_a_model_that_nobody_can_ask_is_refused(template: str | None) -> None:
    with pytest.raises(PromptError, match=r"chat template"):
        form_of("acme/chat", template, {})
