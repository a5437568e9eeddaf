"""The only room where torch, transformers, trl, peft and datasets appear; importing it imports none of them."""
