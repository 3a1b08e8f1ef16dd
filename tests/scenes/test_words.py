"""What signs say."""

from collections import Counter

from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.words import WORDS, spelling
from darkroom.training.presets import preset


def test_words_are_words_in_capitals_each_once():
    assert len(set(WORDS)) == len(WORDS) > 1000
    assert all(2 <= len(word) <= 6 and word.isalpha() and word.isupper() for word in WORDS)


def test_letters_to_practise_with_are_even_and_always_the_same():
    strings = spelling(4)
    assert strings == spelling(4) != spelling(6)[: len(strings)]
    lengths = Counter(map(len, strings))
    assert lengths.keys() == {1, 2, 3, 4} and all(abs(n - 2500) < 6 * 2500**0.5 for n in lengths.values())
    letters = Counter("".join(strings))
    mean = letters.total() / 26
    assert len(letters) == 26 and all(abs(n - mean) < 6 * mean**0.5 for n in letters.values())


def test_a_starter_in_training_sees_letters_at_random_on_most_signs():
    dataset = SceneDataset(preset("cpu").world, 0)
    said = [thing.word for i in range(600) for thing in dataset.scene(i).things if thing.word]
    assert len(said) > 30
    assert 0.7 < sum(word not in WORDS for word in said) / len(said) < 1
