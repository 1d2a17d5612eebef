"""The description of the API (gateway/openapi/, as it was built) for tests: its operations, their examples, and a judge of answers.

    OPERATIONS                   those that are served (gateway/routes.h), in the order of the description
    op.id op.method op.path      '/api/desktops/{id}'; op.kind: 'desktop', what {id} names, or None
    op.role op.params op.body    least role; parameters but the path's; the body's schema or None (op.needs_body, op.takes_body)
    op.url('desktop_7')          the path with an id in it
    op.judge(answer)             asserts that an answer is as described; gives its status as the description names it
    errors(schema, value)        what is wrong with a value, as sentences
    undescribed(schema, value)   what it has besides
"""
import json
import os
import re

import jsonschema
from harness import BUILD, REPO

with open(os.path.join(BUILD, 'gen', 'openapi.json'), encoding='utf-8') as _f:
    DOC = json.load(_f)
# Header fields that an answer may only have where they are described. The others are HTTP's own and every answer's.
TOLD = {'x-mc-sequence', 'x-total-count', 'link', 'etag', 'location', 'set-cookie', 'clear-site-data', 'www-authenticate', 'retry-after', 'allow',
        'ratelimit-policy', 'ratelimit', 'x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset', 'x-accel-buffering'}
MISSING_ID = 987654321


def _served():
    with open(os.path.join(REPO, 'gateway', 'routes.h')) as f:
        rows = re.findall(r'^\s*R\((\w+),\s*\w+,\s*\w+,\s*\d+,\s*\w+,\s*(MC )?"([^"]+)",', f.read(), re.M)
    return {(m, ('/api/mission-control/' if mc else '') + p.replace(':id', '{id}')) for m, mc, p in rows}


def deref(x):
    while '$ref' in x:
        _, _, part, name = x['$ref'].split('/')
        x = DOC['components'][part][name]
    return x


def _local(x):
    """The same schema with its references below $defs, where a validator finds them without the whole document."""
    if isinstance(x, dict):
        return {k: v.replace('#/components/schemas/', '#/$defs/') if k == '$ref' else _local(v) for k, v in x.items()}
    return [_local(v) for v in x] if isinstance(x, list) else x


_DEFS = _local(DOC['components']['schemas'])
jsonschema.Draft202012Validator.check_schema({'$defs': _DEFS})
_validators = {}


def _validator(schema):
    key = json.dumps(schema, sort_keys=True)
    if key not in _validators:
        own = _local(schema)
        jsonschema.Draft202012Validator.check_schema(own)
        _validators[key] = jsonschema.Draft202012Validator({**own, '$defs': _DEFS})
    return _validators[key]


def errors(schema, value):
    out = []
    for e in _validator(schema).iter_errors(value):
        best = jsonschema.exceptions.best_match([e])
        out.append('%s: %s' % ('/'.join(str(p) for p in best.absolute_path) or 'it', best.message[:300]))
    return out


def undescribed(schema, value, at=''):
    """Members that a value has and its schema does not know. Objects may gain members; then the description gains them too."""
    if isinstance(value, list):
        items = [s['items'] for s in _ways(schema, value) if 'items' in s]
        return [x for s in items for n, v in enumerate(value) for x in undescribed(s, v, '%s/%d' % (at, n))]
    if not isinstance(value, dict):
        return []
    known = {}
    for s in _ways(schema, value):
        for k, m in s.get('properties', {}).items():
            known.setdefault(k, []).append(m)
    if not known:       # any object
        return []
    out = ['%s/%s' % (at, k) for k in value if k not in known]
    return out + [x for k, v in value.items() for m in known.get(k, []) for x in undescribed(m, v, '%s/%s' % (at, k))]


def _ways(schema, value):
    """The schemas that speak about a value together: itself, all of allOf, of oneOf and anyOf those it satisfies."""
    schema = deref(schema)
    out = [schema]
    for s in schema.get('allOf', []):
        out += _ways(s, value)
    for s in schema.get('oneOf', []) + schema.get('anyOf', []):
        if not errors(s, value):
            out += _ways(s, value)
    return out


def examples(x):
    """Of a parameter, a media type: name -> value."""
    if 'example' in x:
        return {'example': x['example']}
    return {k: v['value'] for k, v in x.get('examples', {}).items()}


class Operation:
    def __init__(self, path, item, method):
        self.raw = item[method]
        self.method, self.path, self.id = method.upper(), path, self.raw['operationId']
        self.role = self.raw['x-least-role']
        both = [deref(p) for p in item.get('parameters', []) + self.raw.get('parameters', [])]
        self.in_path = [p for p in both if p['in'] == 'path']
        self.params = [p for p in both if p['in'] != 'path']
        self.kind = re.match(r'\^(\w+)_\[', deref(self.in_path[0]['schema'])['pattern']).group(1) if self.in_path else None
        body = deref(self.raw['requestBody']) if 'requestBody' in self.raw else None
        self.takes_body = body is not None
        self.needs_body = body is not None and body['required']
        self.body = deref(body['content']['application/json']['schema']) if self.needs_body else None
        self.examples = examples(body['content']['application/json']) if self.needs_body else {}
        self.responses = {s: deref(r) for s, r in self.raw['responses'].items()}
        self.security = self.raw.get('security', DOC['security'])
        self.seen = set()
        self.stream = list(self.responses.get('200', {}).get('content', {})) == ['text/event-stream']

    def __repr__(self):
        return self.id

    def url(self, number_or_id=MISSING_ID):
        if self.kind is None:
            return self.path
        return self.path.replace('{id}', number_or_id if isinstance(number_or_id, str) else '%s_%d' % (self.kind, number_or_id))

    @staticmethod
    def query(value):
        """An example of a query parameter as it goes over the wire."""
        if isinstance(value, list):
            return ','.join(str(v) for v in value)
        return str(value).lower() if isinstance(value, bool) else str(value)

    def frame_schema(self):
        return self.responses['200']['content']['text/event-stream']['schema']['contentSchema']

    def judge(self, a):
        name = str(a.status) if str(a.status) in self.responses else 'default'
        r = self.responses[name]
        wrong = []
        if name == 'default' and a.status not in (405, 408, 412, 414, 417, 421, 431, 500, 501, 505) and not (a.status == 400 and '400' not in self.responses):
            wrong.append('status %d is not described' % a.status)
        described = {k.lower(): deref(v) for k, v in r.get('headers', {}).items()}
        for k, h in described.items():
            value = a.headers[k]
            if value is None:
                if h.get('required') and a.raw is not None:
                    wrong.append('%s is missing' % k)
            else:
                wrong += ['%s %s' % (k, e) for e in errors(h['schema'], value)]
        wrong += ['%s is not described' % k for k in a.headers.keys() if k.lower() in TOLD - set(described) and name != 'default']
        wrong += self._content(r, a)
        assert not wrong, '%s %s (%s): %s\n%r' % (self.method, self.path, a.status, '; '.join(wrong[:5]), a)
        return name

    def _content(self, r, a):
        """What is wrong with a body; one that came before in the same words was right."""
        known = (a.status, a.headers['Content-Type'], a.raw)
        if known not in self.seen:
            wrong = self._wrong_content(r, a)
            if wrong:
                return wrong
            self.seen.add(known)
        return []

    @staticmethod
    def _wrong_content(r, a):
        kind = (a.headers['Content-Type'] or '').split(';')[0]
        if 'content' not in r:
            return ['it has a body'] if a.raw else []
        if kind not in r['content']:
            return ['content type %r is not described' % kind]
        if kind != 'application/json':
            return []
        schema = r['content'][kind]['schema']
        return errors(schema, a.json) or ['%s is not described' % x for x in undescribed(schema, a.json)]


OPERATIONS = [Operation(path, item, m) for path, item in DOC['paths'].items() for m in item if m != 'parameters' and (m.upper(), path) in _served()]
BY_ID = {op.id: op for op in OPERATIONS}
