"""Class names → what a region is compared with.

    class list (text, JSON, YAML, COCO) → Vocabulary → text embeddings (C, K, D), cached on disk

Begin reading at vocabulary.py. class_list.py reads what people write, vocabulary_files.py finds a
vocabulary by name or path, text_tower.py is CLIP's text transformer, embedding.py runs it.
"""
