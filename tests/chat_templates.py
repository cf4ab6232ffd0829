"""Chat templates in the manners of the families, written for tests."""

CHATML = """\
{%- if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\\nBe of help.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
HEADERS = """\
{%- set date = strftime_now("%d %b %Y") if strftime_now is defined else "" %}
{{- bos_token }}
{%- for message in messages %}
    {{- '<|head|>' + message['role'] + '<|/head|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|/head|>\\n\\n' }}
{%- endif %}
"""
TURNS = """\
{{ bos_token }}
{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}
{% for message in messages %}
    {% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {% if loop.index0 > 9 %}{% break %}{% endif %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] + '<end_of_turn>\\n' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<start_of_turn>model\\n' }}
{% endif %}
"""
INST = """\
{{ bos_token }}{% set ns = namespace(turns=0) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- set ns.turns = ns.turns + 1 %}
        {{- '[INST] ' + message.content + '[/INST]' }}
    {%- else %}
        {%- generation %}{{- ' ' + message.content + eos_token }}{% endgeneration %}
    {%- endif %}
{%- endfor %}
{{- {"turns": ns.turns, "sign": "<>&'"} | tojson }}
"""
THINKS = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' and '</think>' in message.content %}
        {{- message.content.split('</think>')[-1].lstrip('\\n') }}
    {%- else %}
        {{- message.content }}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
"""
TEMPLATES = {"chatml": CHATML, "headers": HEADERS, "turns": TURNS, "inst": INST, "thinks": THINKS}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
