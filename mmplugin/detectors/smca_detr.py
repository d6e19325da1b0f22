"""SMCA-DETR, single-scale (Fast Convergence of DETR with Spatially Modulated Co-Attention, 2021).

mmdet has no such detector. Structure after the released code (gaopengcuhk/SMCA-DETR,
``models/transformer.py``), on mmdet's own transformer layers and Conditional DETR's head, which
regresses boxes relative to a reference point, too.
"""

import torch
from mmdet.models.dense_heads import ConditionalDETRHead
from mmdet.models.detectors import DETR
from mmdet.models.layers import (
    MLP,
    DetrTransformerDecoder,
    DetrTransformerEncoder,
    SinePositionalEncoding,
)
from mmdet.structures import SampleList
from torch import Tensor, nn

from mmplugin.detectors.spatial_modulation import SpatialModulation
from mmplugin.registry import MODELS


class SMCADecoder(DetrTransformerDecoder):
    """DETR's decoder with a spatial prior in each layer's cross-attention.

    The first layer predicts the reference points, from the queries' embeddings; all layers use
    them.

    Args:
        num_layers: Decoder layers.
        layer_cfg: Of one layer, as mmdet's ``DetrTransformerDecoderLayer`` takes it.
        post_norm_cfg: Norm of every layer's output. Default: layer norm.
        return_intermediate: Return all layers' outputs, which auxiliary losses need; otherwise the
            last one's alone. Default: True.
        smooth: See ``SpatialModulation``. Default: 8.
        init_cfg: As mmengine takes it. Default: None.

    Raises:
        ValueError: where ``layer_cfg`` does not give the number of heads of the cross-attention.
    """

    def __init__(
        self,
        num_layers: int,
        layer_cfg: dict,
        post_norm_cfg: dict = dict(type='LN'),  # noqa: B006 (read only)
        return_intermediate: bool = True,
        smooth: float = 8.0,
        init_cfg: dict | None = None,
    ) -> None:
        heads = layer_cfg.get('cross_attn_cfg', {}).get('num_heads')
        if heads is None:
            raise ValueError('SMCADETR: decoder.layer_cfg.cross_attn_cfg.num_heads is not given')
        super().__init__(num_layers, layer_cfg, post_norm_cfg, return_intermediate, init_cfg)
        self.reference = MLP(self.embed_dims, self.embed_dims, 2, 3)
        self.modulations = nn.ModuleList(
            SpatialModulation(self.embed_dims, heads, smooth) for _ in range(num_layers)
        )

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        query_pos: Tensor,
        key_pos: Tensor,
        key_padding_mask: Tensor | None,
        extent: Tensor,
        shape: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            query, query_pos: (batch, queries, embed_dims).
            key, key_pos: (batch, cells, embed_dims); the values are the keys.
            key_padding_mask: (batch, cells), True where there is no image. None: nowhere.
            extent: Width and height of each image in cells, (batch, 1, 2).
            shape: Height and width of the map in cells.

        Returns:
            Outputs (layers or 1, batch, queries, embed_dims), and the reference points
            (batch, queries, 2) as x, y in 0..1 of the image.
        """
        outputs = []
        for layer, modulation in zip(self.layers, self.modulations):
            normed = modulation.norm(query + query_pos)
            if not outputs:
                reference = self.reference(normed).to(normed.dtype).sigmoid()
            prior = modulation(normed, reference * extent, shape)
            if key_padding_mask is not None:
                prior = prior.masked_fill(key_padding_mask[:, None, None], -torch.inf)
            query = layer(
                query,
                key=key,
                value=key,
                query_pos=query_pos,
                key_pos=key_pos,
                cross_attn_mask=prior.flatten(0, 1),
            )
            outputs.append(self.post_norm(query))
        return torch.stack(outputs if self.return_intermediate else outputs[-1:]), reference


@MODELS.register_module()
class SMCADETR(DETR):
    """SMCA-DETR on one feature map, the last the neck gives.

    Takes what mmdet's ``DETR`` takes; ``decoder`` may have ``smooth``, and ``bbox_head`` is a
    ``ConditionalDETRHead``, whose boxes are relative to the reference points.

    Raises:
        ValueError: for another head, or a position encoding of another width than the queries.
    """

    def _init_layers(self) -> None:
        if not isinstance(self.bbox_head, ConditionalDETRHead):
            raise ValueError(
                'SMCADETR: bbox_head must be a ConditionalDETRHead, '
                f'got {type(self.bbox_head).__name__}'
            )
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)
        self.encoder = DetrTransformerEncoder(**self.encoder)
        self.decoder = SMCADecoder(**self.decoder)
        self.embed_dims = self.encoder.embed_dims
        if 2 * self.positional_encoding.num_feats != self.embed_dims:
            raise ValueError(
                f'SMCADETR: positional_encoding.num_feats is {self.positional_encoding.num_feats}, '
                f'and must be half of embed_dims {self.embed_dims}'
            )
        self.query_embedding = nn.Embedding(self.num_queries, self.embed_dims)

    def init_weights(self) -> None:
        """As DETR; the scales of the prior start at 1."""
        super().init_weights()
        for modulation in self.decoder.modulations:
            modulation.start_round()

    def pre_transformer(
        self, img_feats: tuple[Tensor], batch_data_samples: SampleList
    ) -> tuple[dict, dict]:
        """As DETR; the decoder's input has the map's ``shape`` and the images' ``extent`` too."""
        encoder_inputs, decoder_inputs = super().pre_transformer(img_feats, batch_data_samples)
        height, width = img_feats[-1].shape[-2:]
        full_height, full_width = batch_data_samples[0].batch_input_shape
        extent = [
            [width * sample.img_shape[1] / full_width, height * sample.img_shape[0] / full_height]
            for sample in batch_data_samples
        ]
        decoder_inputs['extent'] = img_feats[-1].new_tensor(extent)[:, None]
        decoder_inputs['shape'] = (height, width)
        return encoder_inputs, decoder_inputs

    def forward_decoder(
        self,
        query: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        memory_pos: Tensor,
        extent: Tensor,
        shape: tuple[int, int],
    ) -> dict:
        """Run the decoder; its two results are what the head takes."""
        hidden_states, references = self.decoder(
            query=query,
            key=memory,
            query_pos=query_pos,
            key_pos=memory_pos,
            key_padding_mask=memory_mask,
            extent=extent,
            shape=shape,
        )
        return dict(hidden_states=hidden_states, references=references)
