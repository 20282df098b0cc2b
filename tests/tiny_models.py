"""Models of two narrow layers with random weights and the bundled vocabulary, of many kinds."""

from pathlib import Path
from typing import Any

from ragqa.models.reranker import BUNDLED

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WORDS = {"vocab_size": 30522, "initializer_range": 0.3, "pad_token_id": 0}  # wide enough for scores that differ
ENDS = {"cls_token_id": 101, "sep_token_id": 102, "bos_token_id": 101, "eos_token_id": 102}
RELATIVE = {"relative_attention": True, "position_buckets": 32, "pos_att_type": ["p2c", "c2p"]}
NARROW = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}

# classes of transformers without "ForSequenceClassification", by the name of the kind, with their settings
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SHAPE),
    "distilbert": ("DistilBert", NARROW),
    "roberta": ("Roberta", SHAPE | {"max_position_embeddings": 130}),  # two of them stand before the first token
    "electra": ("Electra", SHAPE | {"embedding_size": 32}),
    "deberta-v2": ("DebertaV2", SHAPE | RELATIVE),
    "modernbert": ("ModernBert", SHAPE | ENDS),
    "llama": ("Llama", SHAPE | {"num_key_value_heads": 2, "bos_token_id": 101, "eos_token_id": 102}),
}


def tokenizer(kind: str = "bert", **settings: Any) -> Any:
    """The bundled vocabulary for a kind of model."""
    import transformers

    tools: Any = transformers
    tokens = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    if kind in ("distilbert", "roberta", "modernbert", "llama", "gpt2"):
        inputs.remove("token_type_ids")
    return tools.PreTrainedTokenizerFast(
        tokenizer_file=str(BUNDLED / "tokenizer.json"), model_input_names=inputs, **tokens | settings
    )


def save(kind: str, folder: Path, suffix: str = "ForSequenceClassification", labels: int = 1, **settings: Any) -> Path:
    """Write a model of a kind with its tokenizer."""
    import torch
    import transformers

    tools: Any = transformers
    name, shape = KINDS[kind]
    config = getattr(tools, f"{name}Config")(**WORDS | shape | {"num_labels": labels} | settings)
    torch.manual_seed(0)
    getattr(tools, f"{name}{suffix}")(config).save_pretrained(folder)
    tokenizer(kind).save_pretrained(folder)
    return folder


def save_modular(folder: Path, kind: str = "modernbert") -> Path:
    """Write a cross-encoder made of modules of sentence-transformers, as the Ettin rerankers are."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

    base = save(kind, folder.with_name(f"{folder.name}-base"), suffix="Model")
    modules = [
        Transformer(str(base)),
        Pooling(32, pooling_mode="cls"),
        Dense(32, 32, activation_function=torch.nn.GELU()),
        LayerNorm(32),
        Dense(32, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    CrossEncoder(modules=modules).save_pretrained(str(folder))
    return folder


def save_bi_encoder(folder: Path, pooling: str = "mean", kind: str = "bert") -> Path:
    """Write a bi-encoder of sentence-transformers."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    base = save(kind, folder.with_name(f"{folder.name}-base"), suffix="Model")
    modules = [Transformer(str(base)), Pooling(32, pooling_mode=pooling), Normalize()]
    SentenceTransformer(modules=modules).save_pretrained(str(folder))
    return folder
