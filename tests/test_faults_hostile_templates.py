"""Chat templates that loop, fill the memory, look around, lose a message or tell the time: none of them is used."""

import re
import time

import pytest

from pytest_ftbench import lab
from pytest_ftbench.grid import UserError
from pytest_ftbench.ml.base import PLAIN_TURNS
from pytest_ftbench.ml.template import DAY, checked_template

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"

LLAMA = (
    "{{- bos_token }}\n{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}\n"
    "{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
    '        {%- set date_string = strftime_now("%d %b %Y") %}\n    {%- else %}\n'
    '        {%- set date_string = "26 Jul 2024" %}\n    {%- endif %}\n{%- endif %}\n'
    "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content']|trim %}\n"
    '    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system_message = "" %}\n{%- endif %}\n'
    '{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}\n{{- "Today Date: " + date_string + "\\n\\n" }}\n'
    '{{- system_message }}\n{{- "<|eot_id|>" }}\n{%- for message in messages %}\n'
    "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    "+ message['content'] | trim + '<|eot_id|>' }}\n"
    "{%- endfor %}\n{%- if add_generation_prompt %}\n"
    "    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n"
)
MISTRAL = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}"
    "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{% if loop.first and system_message is defined %}"
    "{{ ' [INST] ' + system_message + '\\n\\n' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ ' [INST] ' + message['content'] + ' [/INST]' }}{% endif %}{% elif message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] + eos_token}}{% endgeneration %}{% endif %}{% endfor %}"
)
QWEN = (
    "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}\n"
    "{%- for message in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n"
    '    {%- if ns.multi_step_tool and message.role == "user" and message.content is string %}\n'
    "        {%- set ns.multi_step_tool = false %}\n        {%- set ns.last_query_index = index %}\n"
    "    {%- endif %}\n{%- endfor %}\n{%- for message in messages %}\n    {%- set content = message.content %}\n"
    '    {%- if message.role == "assistant" %}\n'
    "        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n    {%- endif %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}\n{%- endfor %}\n"
    "{%- if tools %}{{- tools | tojson(indent=2) }}{%- endif %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
    "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
    "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}"
)
HONEST = {"llama": LLAMA, "mistral": MISTRAL, "qwen": QWEN, "lab": lab.CHAT_TEMPLATE, "plain": PLAIN_TURNS}

ENDLESS = {
    "a long range": "{% for i in range(10**9) %}{% endfor %}" + TURNS,
    "ranges in ranges": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}" + TURNS,
    "powers of powers": "{{ (10**(10**8)) % 3 }}" + TURNS,
    "a long loop at its end": TURNS + "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "patience with a filter": "{% for i in range(99999) %}{% set _ = range(99999)|list|sort %}{% endfor %}" + TURNS,
}
GREEDY = {
    "a text of a billion": "{{ 'a' * 10**9 }}" + TURNS,
    "a text of a billion, unseen": "{% set x = 'a' * 10**9 %}" + TURNS,
    "a width": "{{ '%0999999999d' % 1 }}" + TURNS,
    "a centre": "{{ 'a'.center(2**31) }}" + TURNS,
    "doubling": "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}" + TURNS,
    "a list": "{% set x = [0] * 10**9 %}" + TURNS,
    "many pieces": "{% for i in range(99999) %}0123456789{% endfor %}" + TURNS,
    "replacing": "{{ ('a' * 10**5).replace('a', 'b' * 10**5) }}" + TURNS,
    "indents": "{{ 'a\nb'|indent(10**9) }}" + TURNS,
}
CURIOUS = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}" + TURNS,
    "globals": "{{ raise_exception.__globals__['__builtins__']['open']('MARKER', 'w') }}" + TURNS,
    "a format": "{{ '{0.__class__.__mro__}'.format('') }}" + TURNS,
    "a format that is called by another name": "{{ ('{0.__class__.__mro__}'|attr('format'))('') }}" + TURNS,
    "itself": "{{ self.__init__.__globals__.os.system('touch MARKER') }}" + TURNS,
    "a cycler": "{{ cycler.__init__.__globals__.os.system('touch MARKER') }}" + TURNS,
    "a joiner": "{{ joiner.__init__.__globals__.__builtins__.open('MARKER', 'w').write('x') }}" + TURNS,
    "a namespace": "{{ namespace.__init__.__globals__ }}" + TURNS,
    "the messages": "{{ messages.append({'role': 'user', 'content': 'x'}) }}" + TURNS,
    "an import": "{% import 'os' as os %}" + TURNS,
    "an inclusion": "{% include '/etc/passwd' %}" + TURNS,
}
BROKEN = {
    "an undefined name's field": "{{ nobody.name }}" + TURNS,
    "an unknown filter": "{{ 1|nofilter }}" + TURNS,
    "an open block": "{% for m in messages %}" + TURNS,
    "its own word": "{{ raise_exception('\x1b[2J::error::no system role\u202e') }}" + TURNS,
    "no number": "{{ 1 + 'a' }}" + TURNS,
    "a division": "{{ 1 // 0 }}" + TURNS,
    "itself without end": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}" + TURNS,
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}" + TURNS,
    "brackets that no compiler takes": "{{ " + "[" * 300 + "]" * 300 + " }}" + TURNS,
}
FICKLE = {
    "chance": "{{ range(1000)|random }}" + TURNS,
    "chance by its name": "{{ [range(1000)]|map('random')|list }}" + TURNS,
    "words": "{{ lipsum(1) }}" + TURNS,
    "an address": "{{ messages[0].items }}" + TURNS,
}
FORGETFUL = {
    "user": "{% for m in messages if m.role != 'user' %}{{ m.content }}{% endfor %}",
    "system": "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
}


def refusal(template):
    """Why a template is refused, and how long that took."""
    began = time.perf_counter()
    with pytest.raises(UserError) as caught:
        checked_template(template, TOKENS, "/m: chat_template")
    seconds = time.perf_counter() - began
    said = str(caught.value)
    assert said.startswith("/m: chat_template: ")
    assert said.endswith("; correct the template, or take it out.")
    assert said.isprintable()
    assert len(said) < 400
    assert type(caught.value).failure == "input"
    return caught.value.problem, seconds


@pytest.mark.parametrize("name", HONEST)
def test_honest_templates_pass_as_they_are(name):
    given = HONEST[name]
    assert checked_template(given, TOKENS, "place").endswith(given)
    assert (checked_template(given, TOKENS, "place") == given) == (name != "llama")


def test_an_honest_template_costs_little_and_only_once():
    template = QWEN + "{# so that no test before has tried it #}"
    costs = []
    for _ in range(3):
        began = time.perf_counter()
        checked_template(template, TOKENS, "place")
        costs.append(time.perf_counter() - began)
    print(f"an honest template: {costs[0] * 1000:.0f} ms once, {costs[1] * 1000:.2f} ms then")
    assert costs[0] < 5
    assert max(costs[1:]) < 0.01


def test_a_template_that_does_not_end_is_ended(faults):
    chosen = list(ENDLESS)[: faults(2, len(ENDLESS))]
    longest = 0.0
    for name in chosen:
        problem, seconds = refusal(ENDLESS[name])
        assert problem == "does not end" or "Range too big" in problem, name
        longest = max(longest, seconds)
    print(f"{len(chosen)} templates that do not end: each refused, after {longest:.1f} s at most")
    assert longest < 40


@pytest.mark.parametrize("name", GREEDY)
def test_a_template_that_fills_the_memory_is_refused(name):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem, _ = refusal(GREEDY[name])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert re.search("takes more memory|makes more than|OverflowError|does not end", problem), problem
    assert grown < 100_000, f"{grown} kB here"


@pytest.mark.parametrize("name", CURIOUS)
def test_a_template_that_looks_around_sees_nothing(name, tmp_path):
    marker = tmp_path / "marker"
    problem, _ = refusal(CURIOUS[name].replace("MARKER", str(marker)))
    assert problem.startswith("can't be rendered (")
    assert not marker.exists()


@pytest.mark.parametrize("name", BROKEN)
def test_a_template_that_fails_is_refused_in_its_own_words(name):
    problem, _ = refusal(BROKEN[name])
    assert re.match(r"can't be rendered \(|calls itself without end|breaks what renders it", problem)


@pytest.mark.parametrize("name", FICKLE)
def test_a_template_that_says_something_else_each_time_is_refused(name):
    problem, _ = refusal(FICKLE[name])
    assert re.search("otherwise each time|No filter named 'random'|'lipsum' is undefined", problem)


@pytest.mark.parametrize("role", FORGETFUL)
def test_a_template_that_loses_a_message_is_refused(role):
    assert refusal(FORGETFUL[role])[0] == f"loses the {role}'s message"


@pytest.mark.parametrize("template", [7, ["x"], {"tool_use": TURNS}, {"default": 7}, "x" * 2_000_000])
def test_what_is_no_template_is_refused(template):
    refusal(template)


def test_of_several_templates_the_default_is_taken():
    assert checked_template({"tool_use": "{{ lipsum() }}", "default": TURNS}, TOKENS, "place") == TURNS


def test_the_clock_that_a_template_reads_stands():
    import jinja2.sandbox

    def render(template):
        made = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        made.globals["strftime_now"] = time.strftime
        chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
        return made.from_string(template).render(messages=chat, add_generation_prompt=True, **TOKENS)

    today = time.strftime("%d %b %Y")
    assert f"Today Date: {today}\n" in render(LLAMA)
    # nothing else of what it says changes, not even a blank
    assert render(checked_template(LLAMA, TOKENS, "place")) == render(LLAMA).replace(today, DAY)
    for blanks in ("", "\n", "  ", "\n\n  "):
        odd = blanks + "  {% if true %}{{ strftime_now('%d %b %Y') }}{% endif %}\n" + TURNS
        assert render(checked_template(odd, TOKENS, "place")) == render(odd).replace(today, DAY)
    whole = checked_template("{{ strftime_now('%A %a %B %m %Y-%y %H:%M:%S %F') }}" + TURNS, TOKENS, "place")
    assert render(whole).startswith("Friday Fri July 07 2024-24 12:00:00 2024-07-26<")


@pytest.mark.torch
@pytest.mark.parametrize("name", HONEST)
def test_transformers_renders_what_was_tried(name, model_folder, tmp_path):
    """The environment of the trial is no other than that of Transformers: what passes there is rendered here."""
    import shutil

    from models import at_work

    from pytest_ftbench.ml.base import load_tokenizer
    from pytest_ftbench.ml.prompts import Renderer
    from pytest_ftbench.tasks import get_task

    folder = shutil.copytree(model_folder, tmp_path / "copy")
    (folder / "chat_template.jinja").write_text(HONEST[name], encoding="utf-8")
    with at_work():
        tokenizer = load_tokenizer(folder)
    task, row = get_task("arc"), lab.rows("arc", "train", 1)[0]
    prompt = Renderer(tokenizer, "off").prompt(task.messages(row))
    assert all(message["content"].strip() in prompt for message in task.messages(row))
    assert ("Today Date: 26 Jul 2024" in prompt) == (name == "llama")
    example = Renderer(tokenizer, "off").example(task, row)
    assert task.target(row) in tokenizer.decode(example.input_ids)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (ENDLESS["a long range"], "can't be rendered"),
        (CURIOUS["a cycler"], "can't be rendered"),
        (FORGETFUL["user"], "loses the user's message"),
    ],
)
def test_a_tokenizer_with_such_a_template_is_not_loaded(template, problem, model_folder, tmp_path):
    import shutil

    from models import at_work

    from pytest_ftbench.ml.base import load_tokenizer

    folder = shutil.copytree(model_folder, tmp_path / "copy")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    with at_work(), pytest.raises(UserError, match=rf"^{folder}: chat_template: {problem}"):
        load_tokenizer(folder)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for m in messages %}{{ m.content * 1000 }}{% endfor %}", "makes"),
        ("{{ raise_exception('\x1b]0;owned\x07 no') }}", r"can't render a row's messages \(\\x1b\]0;owned\\x07 no\)"),
        ("{{ messages[0].nothing.more }}", "can't render a row's messages"),
    ],
)
def test_a_template_that_waits_for_rows_is_refused_at_the_first(template, problem, model_folder):
    from models import at_work

    from pytest_ftbench.ml.base import load_tokenizer
    from pytest_ftbench.ml.prompts import Renderer
    from pytest_ftbench.tasks import get_task

    with at_work():
        tokenizer = load_tokenizer(model_folder)
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=rf"^{model_folder}: chat_template: {problem}"):
        Renderer(tokenizer, "off").prompt(get_task("arc").messages(lab.rows("arc", "train", 1)[0]))
