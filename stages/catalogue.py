"""Every built-in stage, in the order in which documents usually meet them."""

from __future__ import annotations

CATALOGUE: dict[str, str] = {
    # bytes -> documents
    "read_warc": "stages.read_warc:ReadWarc",
    "read_common_crawl": "stages.common_crawl.stage:ReadCommonCrawl",
    "fetch_urls": "stages.fetch.stage:FetchUrls",
    "read_jsonl": "stages.read_jsonl:ReadJsonl",
    "read_csv": "stages.read_csv:ReadCsv",
    "read_text": "stages.read_text:ReadText",
    "read_parquet": "stages.read_parquet:ReadParquet",
    "read_arrow": "stages.read_arrow:ReadArrow",
    # by the URL alone
    "url_filter": "stages.url_filter:UrlFilter",
    # html -> text
    "extract": "stages.extract:Extract",
    "consent": "stages.consent:Consent",
    # text -> better text
    "normalise": "stages.normalise:Normalise",
    "language": "stages.language:Language",
    "gopher_quality": "stages.gopher:GopherQuality",
    "gopher_repetition": "stages.gopher:GopherRepetition",
    "c4_lines": "stages.c4:C4Lines",
    "c4_sentences": "stages.c4:C4Sentences",
    "c4_paragraphs": "stages.c4:C4Paragraphs",
    "fineweb_quality": "stages.fineweb:FinewebQuality",
    "refinedweb_lines": "stages.refinedweb:RefinedwebLines",
    "madlad_sentences": "stages.madlad:MadladSentences",
    "repetitions": "stages.madlad:Repetitions",
    "quality_signals": "stages.quality_signals:QualitySignals",
    "bad_words": "stages.bad_words:BadWords",
    # the best of it
    "train_classifier": "stages.classify.train:TrainClassifier",
    "classify": "stages.classify.stage:Classify",
    "keep_top": "stages.keep_top:KeepTop",
    # duplicates
    "exact_dedup": "stages.dedup.exact:ExactDedup",
    "line_dedup": "stages.dedup.lines:LineDedup",
    "span_dedup": "stages.dedup.spans:SpanDedup",
    "paragraph_dedup": "stages.dedup.spans:ParagraphDedup",
    "minhash_dedup": "stages.dedup.minhash:MinhashDedup",
    # what must not be in it
    "decontaminate": "stages.decontaminate.stage:Decontaminate",
    # what stays is masked last
    "pii": "stages.pii:Pii",
    # text -> tokens
    "write_documents": "stages.write_documents:WriteDocuments",
    "mix": "stages.mix:Mix",
    "train_tokenizer": "tokenizer_training.train:TrainTokenizer",
    "use_tokenizer": "tokenizer_training.use:UseTokenizer",
    "tokenize": "stages.tokenize:Tokenize",
    "write_shards": "stages.write_shards:WriteShards",
}


def first_run_note() -> str:
    """What to tell a user before documents are read; empty if there is nothing to wait for."""
    from stages.kernels import compiled_before

    if compiled_before():
        return ""
    return "first run on this machine: compiling kernels, about a minute and a half of two cores"
