"""What a model's weights tell of its completions, against slow references and a model whose gain is known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from conftest import TINY  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: E402

from rlguard.answers import extract_answer  # noqa: E402
from rlguard.audit import scoring  # noqa: E402
from rlguard.audit.samples import Item, Sample  # noqa: E402
from rlguard.audit.scoring import Scorer, split_steps  # noqa: E402
from rlguard.types import InputError, Rollout  # noqa: E402

PROMPTS = ["7+8+5 mod 10=?\n", "3-5 mod 7=?\n", "2*3*4*1*1 mod 10=?\n"]
SAID = [
    Rollout("", 0, "7+8=5;5+5=0;answer 0"),
    Rollout("", 1, "7+8=5;5+", finish_reason="length"),
    Rollout("", 2, ""),
    Rollout("", 3, "", finish_reason="length"),
    Rollout("", 4, "answer 3"),
]
EOS = 1


@pytest.fixture(scope="module")
def pair():
    return AutoModelForCausalLM.from_pretrained(TINY).eval(), AutoTokenizer.from_pretrained(TINY)


@pytest.fixture
def scorer(pair):
    return Scorer.from_loaded(*pair)


def make_sample(prompt=PROMPTS[0], rollouts=SAID, **options):
    return Sample(Item(prompt, prompt, "0", "sums", **options), rollouts)


@torch.no_grad()
def read_slowly(model, context, targets):
    """Log-probability and mean entropy of the targets, one token after the other, alone."""
    logprob, entropies = 0.0, []
    for token in targets:
        known = model(torch.tensor([context])).logits[0, -1].double().log_softmax(-1)
        logprob += float(known[token])
        entropies.append(float(-(known.exp() * known).sum()))
        context = [*context, token]
    return logprob, sum(entropies) / len(entropies) if entropies else math.nan


@pytest.mark.parametrize(
    ("tokens", "logits", "chunk"),
    [(1, 1 << 28, 1 << 24), (1 << 14, 1 << 28, 1 << 24), (1 << 14, 250, 1 << 24), (70, 1, 99)],
    ids=["one by one", "all at once", "in pieces", "token by token"],
)
def test_scores_agree_with_a_token_by_token_reference_however_they_are_batched(
    scorer, pair, monkeypatch, tokens, logits, chunk
):
    model, tokenizer = pair
    monkeypatch.setattr(scoring, "LOGITS", logits)
    monkeypatch.setattr(scoring, "CHUNK", chunk)
    scorer.batch_tokens = tokens
    for sample in scorer.score_samples([make_sample(prompt) for prompt in PROMPTS], most=9):
        context = tokenizer(sample.item.prompt)["input_ids"]
        for rollout, score in zip(sample.rollouts, sample.scores, strict=True):
            targets = tokenizer(rollout.completion)["input_ids"] + [EOS] * (rollout.finish_reason == "stop")
            logprob, entropy = read_slowly(model, context, targets)
            assert score.tokens == len(targets)
            assert score.logprob == pytest.approx(logprob, abs=1e-3)
            assert score.entropy == pytest.approx(entropy, abs=1e-4, nan_ok=True)


def test_logprob_is_the_sum_of_what_generate_drew_from(scorer, pair):
    model, tokenizer = pair
    ids = tokenizer(PROMPTS[0], return_tensors="pt")
    torch.manual_seed(0)
    options = {"do_sample": True, "top_k": 0, "max_new_tokens": 40, "output_scores": True, "num_return_sequences": 4}
    drawn = model.generate(**ids, **options, return_dict_in_generate=True)
    scores_TNV = torch.stack(drawn.scores).log_softmax(-1)
    for number, row in enumerate(drawn.sequences[:, ids["input_ids"].shape[1] :].tolist()):
        taken = row[: row.index(EOS) + 1] if EOS in row else row
        logprob = sum(float(scores_TNV[place, number, token]) for place, token in enumerate(taken))
        [score] = scorer.score(PROMPTS[0], [tokenizer.decode(row, skip_special_tokens=True)], stopped=EOS in row)
        assert score.logprob == pytest.approx(logprob, abs=1e-3)


def test_chat_prompts_are_encoded_as_the_engine_does(pair):
    model, tokenizer = pair[0], AutoTokenizer.from_pretrained(TINY)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    scorer = Scorer.from_loaded(model, tokenizer)
    chat = scorer.score([{"role": "user", "content": PROMPTS[0]}], ["answer 0"], gold="0")
    assert chat == scorer.score(PROMPTS[0], ["answer 0"], gold="0")
    tokenizer.chat_template = "{{ raise_exception('no users') }}"
    with pytest.raises(InputError, match=r"chat template does not take the messages.*no users"):
        scorer.score([{"role": "user", "content": "?"}], ["4"])


def test_what_is_longer_than_the_model_takes_is_none(scorer):
    room = 128 - len(PROMPTS[0])
    fits, exact, over = scorer.score(PROMPTS[0], ["b" * 9, "b" * (room - 1), "b" * room], gold="0")
    assert fits.gold_logprobs
    assert exact.tokens == room
    assert exact.gold_logprobs == ()  # no room for the cue
    assert over is None
    assert scorer.score("1+" * 200, ["4"], gold="0") == [None]
    assert scorer.score("", ["4"], gold="0") == [None]  # nothing that a first token could be told from


class Certain(torch.nn.Module):
    """Finds every token as likely as any other, until a `#` was said: then `7` is e^3 times as likely, `8` impossible.

    It takes `logits_to_keep` or not, and leaves it alone as some models do.
    """

    config, device = SimpleNamespace(max_position_embeddings=300), torch.device("cpu")
    generation_config = SimpleNamespace(eos_token_id=EOS)

    def __init__(self, tokenizer, takes):
        super().__init__()
        self.mark, self.seven, self.eight = tokenizer.convert_tokens_to_ids(["#", "7", "8"])
        self.size = len(tokenizer)
        if takes:
            self.forward = lambda input_ids, logits_to_keep, **_: self.answer(input_ids, logits_to_keep)
        else:
            self.forward = lambda input_ids, attention_mask, use_cache: self.answer(input_ids, 0)

    def answer(self, ids, keep):
        logits = torch.zeros(*ids.shape, self.size)
        told = (ids == self.mark).cumsum(1) > 0
        logits[..., self.seven] = 3.0 * told
        logits[..., self.eight] = torch.where(told, -math.inf, 0.0)
        return SimpleNamespace(logits=logits[:, -keep:] if keep else logits)


@pytest.fixture(params=[True, False], ids=["keeps logits", "keeps all"])
def certain(request, pair):
    return Scorer.from_loaded(Certain(pair[1], request.param), pair[1])


def test_the_gain_of_a_step_is_known_and_more_steps_alone_gain_nothing(certain):
    size = certain._model.size
    before = -2 * math.log(size)  # a space and the 7
    after = 3 - 2 * math.log(size - 2 + math.exp(3))
    short, long, none, unanswered = certain.score(
        "q?", ["one\n#two\nthe answer is 7", "one\n" * 9 + "#two\n" * 3 + "so the answer is 7", "7", "a\n#"], gold="7"
    )
    assert short.gold_logprobs == pytest.approx([before, before, after], abs=1e-4)
    assert long.gold_logprobs == pytest.approx([before] * 10 + [after] * 3, abs=1e-4)
    assert none.gold_logprobs == pytest.approx([before], abs=1e-4)
    assert unanswered.gold_logprobs == pytest.approx([before, before, after], abs=1e-4)


def test_tokens_that_are_impossible_do_not_spoil_the_entropy(certain):
    [score, said] = certain.score("#?", ["1", "8"], stopped=False)
    size = certain._model.size
    share = math.exp(3) / (size - 2 + math.exp(3))
    rest = (1 - share) / (size - 2)
    assert score.entropy == pytest.approx(-share * math.log(share) - (size - 2) * rest * math.log(rest), rel=1e-5)
    assert said.logprob == -math.inf


def test_words_of_several_characters_keep_the_answers_own_tokens():
    """With a byte-level BPE the space belongs to the answer, and the answer's tokens are the same after every step."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.train_from_iterator(["The answer is forty two.\n"] * 9, trainers.BpeTrainer(special_tokens=["<eos>"]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<eos>")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=0, max_position_embeddings=99, **sizes)
    model = LlamaForCausalLM(config).eval()

    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    assert len(encode(" forty")) == 1  # the space is in it
    [score] = Scorer.from_loaded(model, tokenizer).score("two.", ["is.\nThe answer is two"], gold="forty")
    for shown, gold in zip(["", "is."], score.gold_logprobs, strict=True):
        context = encode("two.") + encode(shown) + encode("\nThe answer is")
        assert gold == pytest.approx(read_slowly(model, context, encode(" forty"))[0], abs=1e-4)


def test_samples_get_what_was_asked_for(scorer):
    samples = [
        make_sample(),
        make_sample(variant="confidence"),
        make_sample(answerable=False),
        make_sample(open_ended=True),
        make_sample(rollouts=[]),
    ] * 8
    seen = []
    scored = scorer.score_samples(samples, most=3, gold_most=2, on_progress=lambda *done: seen.append(done))
    assert seen == [(32, 40), (40, 40)]
    assert [sample.item for sample in scored] == [sample.item for sample in samples]
    for number, sample in enumerate(scored):
        assert len(sample.scores) == len(sample.rollouts)
        assert [score is not None for score in sample.scores] == [True, True, True, False, False][: len(sample.scores)]
        golds = [len(score.gold_logprobs) for score in sample.scores if score]
        assert golds == ([3, 2, 0] if number % 5 == 0 else [] if number % 5 == 4 else [0, 0, 0])
    assert all(score is None for score in scorer.score_samples(samples[:1], most=0)[0].scores)


def test_dropout_is_off_and_the_model_and_the_random_state_are_left_as_they_were(pair):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=99, attention_dropout=0.5, eos_token_id=1, **sizes)
    model = LlamaForCausalLM(config).train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    once, again = (Scorer.from_loaded(model, pair[1]).score("7+8", ["=5"], gold="5") for _ in range(2))
    assert once == again
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_a_folder_is_loaded_as_the_engine_loads_it(scorer, tmp_path):
    loaded = Scorer(str(TINY))
    assert loaded.score(PROMPTS[0], ["answer 0"], gold="0") == scorer.score(PROMPTS[0], ["answer 0"], gold="0")
    with pytest.raises(InputError, match="transformers cannot load the model"):
        Scorer(str(tmp_path))


@pytest.mark.parametrize(
    ("completion", "steps"),
    [
        ("", []),
        (" \n\n ", []),
        ("4", []),
        ("The answer is 4. Because 2+2=4, the answer is 4.", []),
        ("Add them.\n2+2=4\n\nSo the answer is 4.", ["Add them.", "2+2=4"]),
        ("So the answer is 4.\nCheck: 2+2=4\nThe answer is 4.", []),
        ("It is 3.5 here. Then 2*3.5 = 7. Thus \\boxed{7}", ["It is 3.5 here.", " Then 2*3.5 = 7."]),
        ("never said", ["never said"]),
        ("x" * 201 + ". Then y.\nz\n#### 4", ["x" * 201 + ".", " Then y.", "\nz"]),
        ("a. b\nc. d\n<answer>4</answer>", ["a. b", "\nc. d"]),
    ],
)
def test_steps_are_lines_or_sentences_before_the_answer_is_stated(completion, steps):
    ends = split_steps(completion)
    found = [completion[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert [step.strip() for step in found] == [step.strip() for step in steps]


@given(st.text(alphabet="ab1.;\n !", max_size=120), st.integers(1, 4))
def test_steps_ascend_and_never_hold_the_answer(body, most):
    completion = f"{body}\nthe answer is 77"
    ends = split_steps(completion, most)
    assert ends == sorted(set(ends))
    assert len(ends) <= most
    assert all(end <= extract_answer(completion)[1] and completion[:end].strip() for end in ends)
    assert "77" not in completion[: max(ends, default=0)]


def test_many_steps_are_merged_evenly():
    completion = "".join(f"step {number}\n" for number in range(100)) + "answer 7"
    ends = split_steps(completion)
    lines = [completion[:end].count("\n") + 1 for end in ends]
    assert len(lines) == 32
    assert lines[-1] == 100
    assert {b - a for a, b in zip([0, *lines], lines, strict=False)} == {3, 4}
