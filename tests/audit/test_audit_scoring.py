"""What a model's weights tell of its completions, against slow references and a model whose gain is known."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from conftest import TINY  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: E402

from rlguard.answers import extract_answer, find_answer  # noqa: E402
from rlguard.audit import scoring  # noqa: E402
from rlguard.audit.reasoning import doubt_gain  # noqa: E402
from rlguard.audit.reasoning import figures as reasoning_figures  # noqa: E402
from rlguard.audit.samples import Item, Sample  # noqa: E402
from rlguard.audit.scoring import Scorer, split_steps  # noqa: E402
from rlguard.types import InputError, Problem, Request, Rollout, Sampling  # noqa: E402

PROMPTS = ["7+8+5 mod 10=?\n", "3-5 mod 7=?\n", "2*3*4*1*1 mod 10=?\n"]
SAID = [
    Rollout("", 0, "7+8=5;5+5=0;answer 0"),
    Rollout("", 1, "7+8=5;5+", finish_reason="length"),
    Rollout("", 2, ""),
    Rollout("", 3, "", finish_reason="length"),
    Rollout("", 4, "answer 3"),
]
EOS = 1
CUE = "The answer is "


@pytest.fixture(scope="module")
def pair():
    return AutoModelForCausalLM.from_pretrained(TINY).eval(), AutoTokenizer.from_pretrained(TINY)


@pytest.fixture
def scorer(pair):
    return Scorer.from_loaded(*pair)


def score_texts(scorer, prompt, completions, gold=None, stopped=True):
    """The scores of completions of one prompt; with a gold answer its log-probabilities after each step too."""
    item, reason = Item("q", prompt, str(gold), "sums", open_ended=gold is None), "stop" if stopped else "length"
    samples = [Sample(item, [Rollout("q", 0, text, finish_reason=reason)]) for text in completions]
    return [sample.scores[0] for sample in scorer.score_samples(samples, cue=CUE)]


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
        [score] = score_texts(scorer, PROMPTS[0], [tokenizer.decode(row, skip_special_tokens=True)], stopped=EOS in row)
        assert score.logprob == pytest.approx(logprob, abs=1e-3)


def test_chat_prompts_are_encoded_as_the_engine_does(pair):
    model, tokenizer = pair[0], AutoTokenizer.from_pretrained(TINY)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    scorer = Scorer.from_loaded(model, tokenizer)
    chat = score_texts(scorer, [{"role": "user", "content": PROMPTS[0]}], ["answer 0"], gold="0")
    assert chat == score_texts(scorer, PROMPTS[0], ["answer 0"], gold="0")
    tokenizer.chat_template = "{{ raise_exception('no users') }}"
    with pytest.raises(InputError, match=r"chat template does not take the messages.*no users"):
        score_texts(scorer, [{"role": "user", "content": "?"}], ["4"])


def test_what_is_longer_than_the_model_takes_is_none(scorer):
    room = 128 - len(PROMPTS[0])
    fits, exact, over = score_texts(scorer, PROMPTS[0], ["b" * 9, "b" * (room - 1), "b" * room], gold="0")
    assert fits.gold_logprobs
    assert exact.tokens == room
    assert exact.gold_logprobs == ()  # no room for the cue
    assert over is None
    assert score_texts(scorer, "1+" * 200, ["4"], gold="0") == [None]
    assert score_texts(scorer, "", ["4"], gold="0") == [None]  # nothing that a first token could be told from


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
    before = -math.log(size)
    after = 3 - math.log(size - 2 + math.exp(3))
    short, long, none, unanswered = score_texts(
        certain,
        "q?",
        ["one\n#two\nthe answer is 7", "one\n" * 9 + "#two\n" * 3 + "so the answer is 7", "7", "a\n#"],
        gold="7",
    )
    assert short.gold_logprobs == pytest.approx([before, before, after], abs=1e-4)
    assert long.gold_logprobs == pytest.approx([before] * 10 + [after] * 3, abs=1e-4)
    assert none.gold_logprobs == pytest.approx([before], abs=1e-4)
    assert unanswered.gold_logprobs == pytest.approx([before, before, after], abs=1e-4)


def test_tokens_that_are_impossible_do_not_spoil_the_entropy(certain):
    [score, said] = score_texts(certain, "#?", ["1", "8"], stopped=False)
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
    [score] = score_texts(Scorer.from_loaded(model, tokenizer), "two.", ["is.\nThe answer is two"], gold="forty")
    for shown, gold in zip(["", "is.\n"], score.gold_logprobs, strict=True):
        context = encode("two.") + encode(shown) + encode("The answer is")
        assert gold == pytest.approx(read_slowly(model, context, encode(" forty"))[0], abs=1e-4)


def gold_context(scorer, rollouts, place=-1):
    """The text before the gold answer after all steps of the first rollout, as the model sees it, and the answer."""
    shown = []
    scorer._measure = lambda texts: [shown.append(text) or (0.0, 0.0) for text in texts]
    scorer.score_samples([make_sample(rollouts=rollouts)], most=1)
    given, scored = (scorer._tokenizer.decode(tokens) for tokens in shown[place])
    return given.removeprefix(PROMPTS[0]), scored


@pytest.mark.parametrize(
    ("completion", "outcome", "given", "scored"),
    [
        ("7+8=5;5+5=0;answer 3", 0.0, "7+8=5;5+5=0;answer ", "0"),
        ("7+8=5;5+5=0;answer 00", 1.0, "7+8=5;5+5=0;answer ", "00"),  # right: in the model's own spelling
        ("7+8=5\nso the answer is 3", 0.0, "7+8=5\nso the answer is ", "0"),
        ("7+8=5;5+", 0.0, "7+8=5;answer ", "0"),  # no answer that is marked: the words of most rollouts
    ],
)
def test_the_answer_is_scored_behind_the_words_with_which_the_model_gives_it(
    scorer, completion, outcome, given, scored
):
    first = Rollout("", 0, completion, outcome, finish_reason="length")
    rest = [Rollout("", number, f"1+{number}={number};answer 4") for number in (1, 2, 3)]
    assert gold_context(scorer, [first, *rest]) == (given, scored)
    assert gold_context(scorer, [first, *rest], 1)[0] == given[given.index("answer") - 7 * ("so" in given) :].lstrip()


def test_without_words_of_its_own_there_is_no_gain_and_it_is_said(scorer):
    [scored] = scorer.score_samples([make_sample(rollouts=[Rollout("", 0, "7+8=5;5+5=0;0")])])
    assert scored.scores[0].gold_logprobs == ()
    assert doubt_gain([scored]) == "no completion states its final answer behind words of its own"
    [scored] = scorer.score_samples([make_sample(rollouts=[Rollout("", 0, "answer 0")])])
    assert doubt_gain([scored]) == "no completion has a step before its final answer"


@pytest.fixture(scope="module")
def answers():
    """What the tiny reasoner answers, and a copy of it with noise in its weights: (samples, scorer) by the noise."""
    sys.path.insert(0, str(TINY.parents[1]))
    from tiny_reasoner.tasks import SKILLS, make_problems

    rows = [row for skill in SKILLS for row in make_problems([skill], 12, seed=2, held_out=True)]
    problems = [Problem(str(i), row["prompt"], str(row["answer"]), {}, i) for i, row in enumerate(rows)]
    found = {}
    for noise in (0.0, 0.4):
        model = AutoModelForCausalLM.from_pretrained(TINY).eval()
        torch.manual_seed(0)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(noise * weight.std() * torch.randn_like(weight))
        scorer, samples = Scorer.from_loaded(model, AutoTokenizer.from_pretrained(TINY)), {}
        for request, [said] in scorer.generate((Request(problem, 1) for problem in problems), Sampling(40)):
            problem, end = request.problem, find_answer(said.text)
            right = float(end is not None and end.text == problem.answer)
            rollout = Rollout(problem.id, 0, said.text, right, finish_reason=said.finish_reason)
            samples[problem.id] = Sample(Item(problem.id, problem.prompt, problem.answer, "sums"), [rollout])
        found[noise] = list(samples.values()), scorer
    return found


def read_gain(samples):
    figures = {figure.name: figure.value for figure in reasoning_figures(samples)}
    return figures["information gain, total"]


def test_reasoning_that_is_known_to_matter_gains_and_noise_in_the_weights_takes_from_it(answers):
    gains = {noise: read_gain(scorer.score_samples(samples, most=1)) for noise, (samples, scorer) in answers.items()}
    rates = {noise: sum(sample.pass_rate for sample in samples) / 48 for noise, (samples, _) in answers.items()}
    assert 1.5 < gains[0.0] < 2.1
    assert gains[0.4] < gains[0.0] - 0.5
    assert rates[0.4] < rates[0.0] - 0.05


def test_behind_words_that_the_model_never_writes_right_reasoning_seems_to_lose_and_that_is_refused(answers):
    samples, scorer = answers[0.0]
    scored = scorer.score_samples(samples, most=1, cue="\nThe answer is ")
    assert read_gain(scored) < -0.5
    assert "not even right reasoning makes the gold answer likelier (-" in doubt_gain(scored)
    assert doubt_gain(scorer.score_samples(samples, most=1)) is None


def test_reasoning_that_does_not_matter_gains_nothing(certain):
    """`Certain` finds a 7 as likely whatever the steps are: only a `#` moves it, and here it stands in the prompt."""
    texts = [f"one\n{'two ' * number}\nthe answer is 7" for number in range(1, 6)]
    item = Item("q", "#?", "7", "sums")
    samples = certain.score_samples([Sample(item, [Rollout("q", 0, text, 1.0)]) for text in texts])
    assert read_gain(samples) == pytest.approx(0, abs=1e-5)
    assert doubt_gain(samples) is None


def test_samples_get_what_was_asked_for(scorer):
    samples = [
        make_sample(),
        make_sample(variant="confidence"),
        make_sample(answerable=False),
        make_sample(open_ended=True),
        make_sample(rollouts=[]),
    ] * 8
    scored = scorer.score_samples(samples, most=3)
    assert [sample.item for sample in scored] == [sample.item for sample in samples]
    for number, sample in enumerate(scored):
        assert len(sample.scores) == len(sample.rollouts)
        assert [score is not None for score in sample.scores] == [True, True, True, False, False][: len(sample.scores)]
        golds = [len(score.gold_logprobs) for score in sample.scores if score]
        assert golds == ([3, 0, 0] if number % 5 == 0 else [] if number % 5 == 4 else [0, 0, 0])
    assert all(score is None for score in scorer.score_samples(samples[:1], most=0)[0].scores)


def test_dropout_is_off_and_the_model_and_the_random_state_are_left_as_they_were(pair):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=99, attention_dropout=0.5, eos_token_id=1, **sizes)
    model = LlamaForCausalLM(config).train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    once, again = (score_texts(Scorer.from_loaded(model, pair[1]), "7+8", ["=5"], gold="5") for _ in range(2))
    assert once == again
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_a_folder_is_loaded_as_the_engine_loads_it(scorer, tmp_path):
    loaded = Scorer(str(TINY))
    assert score_texts(loaded, PROMPTS[0], ["answer 0"], gold="0") == score_texts(
        scorer, PROMPTS[0], ["answer 0"], gold="0"
    )
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
    lines = [completion[:end].count("\n") for end in ends]
    assert len(lines) == 32
    assert lines[-1] == 100
    assert {b - a for a, b in zip([0, *lines], lines, strict=False)} == {3, 4}
