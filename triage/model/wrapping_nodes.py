"""PURE: nodes of the released graph around the networks, in ONNX's own notation (onnx.parser)."""

from __future__ import annotations

CROPPED = "middle = Slice(image, crop_start, crop_end, rows_and_columns)"
MIRRORED = """
    mirror_image = Slice({image}, last, before_first, columns, backwards)
    seen = Concat <axis = 0> ({image}, mirror_image)
"""
UNMIRRORED = {
    "logit": """
    {source}_plain, {source}_mirrored = Split <axis = 0, num_outputs = 2> ({source})
    {source}_sum = Add({source}_plain, {source}_mirrored)
    {target} = Div({source}_sum, two)
""",
    "cam": """
    {source}_plain, {source}_mirrored = Split <axis = 0, num_outputs = 2> ({source})
    {source}_turned = Slice({source}_mirrored, last, before_first, map_columns, backwards)
    {source}_sum = Add({source}_plain, {source}_turned)
    {target} = Div({source}_sum, two)
""",
}
PROBABILITY = "probability = Sigmoid(logit)"
CALIBRATED = """
    steepened = Mul(logit, slope)
    calibrated_logit = Add(steepened, intercept)
    calibrated_probability = Sigmoid(calibrated_logit)
"""
THUMBNAIL_TERMS = """
    scaled = Mul(image, deviation)
    levels = Add(scaled, mean_level)
    plane = Squeeze(levels, axis_1)
    rows_averaged = MatMul(averaging, plane)
    areas = MatMul(rows_averaged, averaging_transposed)
    thumbnail = Flatten(areas)
    thumbnail_mean = ReduceMean(thumbnail, axis_1)
    centred = Sub(thumbnail, thumbnail_mean)
    centred_squared = Mul(centred, centred)
    variance = ReduceMean(centred_squared, axis_1)
    root = Sqrt(variance)
    contrast = Clip(root, least_contrast)
    standardised = Div(centred, contrast)
    offset = Sub(standardised, subspace_mean)
    coordinates = MatMul(offset, components_transposed)
    coordinates_squared = Mul(coordinates, coordinates)
    in_deviations = Div(coordinates_squared, variances)
    inside = ReduceSum(in_deviations, axis_1)
    offset_squared = Mul(offset, offset)
    length = ReduceSum(offset_squared, axis_1)
    length_inside = ReduceSum(coordinates_squared, axis_1)
    outside = Sub(length, length_inside)
    log_contrast = Log(contrast)
    change = Sub(log_contrast, contrast_mean)
    change_squared = Mul(change, change)
"""
FEATURE_TERMS = """
    feature_offset = Sub(features, feature_mean)
    feature_coordinates = MatMul(feature_offset, feature_components_transposed)
    feature_coordinates_squared = Mul(feature_coordinates, feature_coordinates)
    feature_in_deviations = Div(feature_coordinates_squared, feature_variances)
    feature_inside = ReduceSum(feature_in_deviations, axis_1)
    feature_projected = MatMul(feature_coordinates, feature_components)
    feature_residual = Sub(feature_offset, feature_projected)
    feature_residual_squared = Mul(feature_residual, feature_residual)
    feature_outside = ReduceSum(feature_residual_squared, axis_1)
"""
LARGEST_RATIO = """
    terms = Concat <axis = 1> ({terms})
    ratios = Div(terms, term_scales)
    distance = ReduceMax <keepdims = 0> (ratios, axis_1)
"""
DISTANCE = THUMBNAIL_TERMS + LARGEST_RATIO.format(terms="inside, outside, change_squared")
DISTANCE_WITH_FEATURES = (
    THUMBNAIL_TERMS
    + FEATURE_TERMS
    + LARGEST_RATIO.format(terms="inside, outside, change_squared, feature_inside, feature_outside")
)
POOLED = {
    2: "features = Identity({source})",
    3: "features = ReduceMean <keepdims = 0> ({source}, axis_1)",
    4: "features = ReduceMean <keepdims = 0> ({source}, rows_and_columns)",
}
"""By the rank of a feature tensor: (n, p); (n, tokens, p); (n, p, rows, columns), the order of ONNX's convolutions."""
